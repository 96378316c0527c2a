SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.ormco_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'the audit record is append-only'; END$$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.ormco_connections (
    practice_id text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    generation bigint NOT NULL,
    good_until double precision,
    refreshed_at double precision,
    retry_at double precision,
    due_at double precision,
    access_token bytea,
    revision bigint NOT NULL,
    provider text NOT NULL,
    since double precision NOT NULL,
    reason text,
    account_id text,
    account_email text,
    account_name text,
    account_region text,
    scope text,
    renewable integer NOT NULL,
    expires_at double precision,
    connected_at double precision,
    lab_state text,
    lab_email text,
    last_error text,
    failures integer NOT NULL,
    refresh_sent_at double precision,
    refresh_owner text,
    token_rest bytea,
    unproven bytea
);
CREATE TABLE public.ormco_events (
    id bigint NOT NULL,
    sequence bigint,
    nonce bigint NOT NULL,
    at double precision NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    practice_id text COLLATE pg_catalog."C",
    actor text NOT NULL,
    state text,
    detail text NOT NULL
);
ALTER TABLE public.ormco_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ormco_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.ormco_requests (
    state_digest text NOT NULL,
    practice_id text NOT NULL COLLATE pg_catalog."C",
    expires_at double precision NOT NULL,
    taken_by bigint,
    sealed bytea NOT NULL
);
CREATE TABLE public.ormco_schema (
    version integer NOT NULL,
    applied_at double precision NOT NULL
);
CREATE TABLE public.ormco_spent_codes (
    digest text NOT NULL,
    spent_at double precision NOT NULL,
    spent_by bigint NOT NULL
);
CREATE TABLE public.ormco_store (
    id integer NOT NULL,
    store_id text NOT NULL,
    key_source text,
    key_place text,
    key_id text,
    checked_at double precision,
    CONSTRAINT ormco_store_id_check CHECK ((id = 1))
);
CREATE TABLE public.ormco_watched_cases (
    watch text NOT NULL COLLATE pg_catalog."C",
    practice_id text NOT NULL COLLATE pg_catalog."C",
    case_id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    state text,
    state_flag text,
    designs text NOT NULL,
    standing text NOT NULL
);
CREATE TABLE public.ormco_watches (
    watch text NOT NULL COLLATE pg_catalog."C",
    practice_id text NOT NULL COLLATE pg_catalog."C",
    began_at double precision NOT NULL,
    read_from double precision NOT NULL
);
INSERT INTO public.ormco_connections VALUES ('connected', 'connected', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5b44075cca9bc1593c3e5a88237939e6ee975baff2f69dc9173b5b93936131c1912d02430bce3a61f28248', 4236969023528478392, 'test', 1795339800, NULL, 'u-connected', 'connected@practice.test', 'connected', 'europe', 'api', 1, 1795343400, 1795080600, 'active', 'lab@ormco.test', NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5b2cb0515662d4f873d96fedbae8ed2dbed7d7fd0edb3d01f5f5601e58c7520a7a08cba4acead66284bab195bfd2598a698696530bb70775bae9dc5684926ed081e3455e76e157ba6ee3b5ff34999824da0779cf0b6c0f1a20a35c3f7007ae888e368ef22e3a8d091dabe0a1e4226f9c7553fa06c3a1be81a714c3d50abd88496c0462349e026ceb1e5efaa6a8505ca8c05637f483edb76e6bfba3', NULL);
INSERT INTO public.ormco_connections VALUES ('degraded', 'degraded', 7, 1795343400, 1795339800, 1795339809, 1795343400, '\x01cb73ac287d0a6c5b968fa790bfee006340bcd722eed78ef22a636aea88c723ef442ced9600b4deb94a6b245135ac3de9b0', 330676487435646102, 'test', 1795339800, 'provider_unavailable', NULL, NULL, NULL, NULL, 'api', 1, 1795343400, 1795080600, NULL, NULL, '502', 3, NULL, NULL, '\x01cb73ac287d0a6c5bd548c8306ec760aa8c4374807cb31028542df3c38b5f271fa7730a48e18332607cfb6403fd77a9b90c9ed73388f12d8a39fe5c798e87186cf91a4d61d8363ac71ae653dfa218fe2f6c664fdc5386418124882d9160e69e38cb54451155d3b1ade7f476bc28d4071290d3cf76122fc031316599f929de391fd34efbb91c3ed2912c77373ac4c0314247fdca728122b8d8fe5b3de5a999f13853', NULL);
INSERT INTO public.ormco_connections VALUES ('lost', 'degraded', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5b846884e25f49706fa8c929890decf94916b69536499026fbdefd5e4f334880b18fe6a44567', 101586814188528435, 'test', 1795339800, 'answer_lost', NULL, NULL, NULL, NULL, 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, 1795339300, NULL, '\x01cb73ac287d0a6c5be643e4da5359e679d3956dcf31699aa22e80a7bf841afed5d50f0ce6c4811259a1ab8938300c998fb854f163be9940edd479cd66372855c4f699043781022b8279977c650f7ed67e1a9e6a686c3bed4a371be7d5da45309fa6bbecd82d921fbea9955198156e0d2934e96259b0ae67921bca697c644313101e2f1601d3bfd8eb85a6bdf15292f9eb71dc6991932b90c685cc56d4b4', NULL);
INSERT INTO public.ormco_connections VALUES ('under-way', 'connected', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5bd19ac05a318aa49ce8ca0582d44d2065a9768da894aa96307e41049fa084c9cd7fdd4813998aeeaf6124', 2512983936557157582, 'test', 1795339800, NULL, NULL, NULL, NULL, NULL, 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, 1795339300, 'elsewhere 1 2', '\x01cb73ac287d0a6c5b5697be0b0a27b96f14997dbf3f007eda9cb77226c42a69d4a7d573480b1507d7856a0c87c8826857f822d7f7a8a11a2b3ef29ed7a41da22f803d2db40e6657324fa1f4d70f411e2dd9da5342dfa05c9c1575339de60720d934be70d69ab00b59d12751429b526d413c090ae9cec95680a2b645fcf74eca4aee7b926b9443d4ad5ea339a46907b00bfbf748bd4f5c81f1260ee22f1a419722cc20', NULL);
INSERT INTO public.ormco_connections VALUES ('needs-repair', 'needs_repair', 7, 1795343400, 1795339800, NULL, NULL, '\x01cb73ac287d0a6c5b87d697d97f19e9459962818319faa1c78011afcc4e9853b99a5fa975f2c5cdb672c09e83172155ab45a6c508f6', 3005519423501843719, 'test', 1795339800, 'grant_refused', NULL, NULL, NULL, NULL, 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5bdcf85503b1438019eba625540f46dbddc8a0abc4633b82b5981526aa32590a124fb402c9e6b19b30613984d5d3c10fffcef11202b441a10beda7976b32b80d68ec80cc09a751fff354891518a7428f0ae7fbac8c0cd557f18e18ac1e8306b22a7fcd6537043013c38df5168eb18650583965461e446f40f3a66d88b57ddffe5931971460e2ce515e09ab19872bc2aa5b20eb683469ec41eb6726f27878', NULL);
INSERT INTO public.ormco_connections VALUES ('revoking', 'revoking', 7, 1795343400, 1795339800, NULL, NULL, '\x01cb73ac287d0a6c5b6d99e44b4028304fbb1724ecc0d0cb64ddf5f3c49bfeaa7b24d3555385f2f9860de2e7c595bc0bc32c', 3033517033315767813, 'test', 1795339800, 'revocation_unproved', NULL, NULL, NULL, NULL, 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5b10c36608846985294a8249153ff52931afa388e8b9faac66e0ac3a9656e1d8e54483d3393888ace964d06c8c9513cda801dcb9eef2c4d61775cadb110e2cf45378f784189dff3553d1b4e36544ff68966fb0f21d8b1a827b30a8fb3a6fecb858dcc94687ea768e1ce65b297d9f181f7d8d8fdc89049c6424e770248d688559b400001c8266ef93cb3633dce202e7de877effd5cab6429fa68d', NULL);
INSERT INTO public.ormco_connections VALUES ('revoked', 'revoked', 7, NULL, 1795339800, NULL, NULL, NULL, 2229399049969430280, 'test', 1795339800, NULL, NULL, NULL, NULL, NULL, 'api', 0, NULL, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL);
INSERT INTO public.ormco_connections VALUES ('not-renewable', 'connected', 7, 1795343400, 1795339800, NULL, NULL, '\x01cb73ac287d0a6c5b57acafd07131e02b0f1d0fcaf697bb9f2c0260377a7abe2e8c1bd6939966512e747ffd7ed93ca610b85e4a764dac', 2126329807150938644, 'test', 1795339800, NULL, NULL, NULL, NULL, NULL, 'api', 0, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5bf9e7148bdc94b1276834f3ebfc49dde5526d2c13702828c387cfcdcf8a6f2aa0fb2cdc25796dae026a1ea8ae291bf03c3d824da7c56f905f09204dcdb67c05232354b35354fefe5b2ffee160e25a687d7bf9aef8c612ec63d25b9b1abc18aced67ff603a7c13c7b0caefcb7718d6f214e197f8942571129e68bb9b8f44d1a205c6ebb5b1d3085006863ef00f758f', NULL);
INSERT INTO public.ormco_connections VALUES ('unread', 'degraded', 0, NULL, NULL, NULL, NULL, NULL, 1237506278681151546, 'test', 1795339800, 'account_unread', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, '\x01cb73ac287d0a6c5b05f3c1185537db783fc06f8df18b7ee9fe52225f2f00cd7a2637afeb7076ca90fb033afc69e4436614de5ec3d13002fd6a00ea3e82526b47c54f65eb4f78d093da5f9a7c1baa73483fbdd774189dad50c0c5ff9059fbb83d05d1fb2bc9f19636a1c2ead71f98e8f470905b121301b7d1dbfa8a4a524c5cb4ec32d4468d3306abc1c9c02402971adc449b4176ef5266b893267c38b4599f517e8d7d0ea23e00e3648da1b7e9837dab9ead1174548fd76df9b8da1e44489bf0071d9e0b2ce96c09c2333e8831f1c7c99306016875539e32f40428b0f4242de47a26cbe9ff205938f592d7f80de8fb3fb6656e512afcd2b06b8a7c291fc0e66524a80b03705c0571203cabe5d3454e48d83a41f3ec01fea8f6416af3850f19ff50749017');
INSERT INTO public.ormco_connections VALUES ('both', 'connected', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5b152e48998fb5111eac2e6e698d1a6f320a0ac1354d013bb8a0cc90fb9613667a1f45cdcbe4', 85584081891466601, 'test', 1795339800, NULL, 'u-both', 'both@practice.test', 'both', 'europe', 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5ba4f12455f17dc71a15a929ec2912c2902d56383a10e2cd35a5738fe386ee9a692ed6d3d99552037234e68bb816729d2e6f14acba6326526a3efbdddf45e20571e961dbc6e1b799f423e3aa1021601eda0f364b3afbd28ef3d5e400335a3dcc6a865b9c0da8f6c3729f5df93dc83ad80117c266b677c4abd271e3cb87f5d4c2dd7c48f8d714c3ccb1dc82e53f71546bb3d922b5bedc', '\x01cb73ac287d0a6c5b0ae3e9d30ec891feecfe56b0508dbfb8f6e6c46ef63f9ccbe230f1f4461a9acafd9af6e1952b14930c8974bf44ce51471e7f91ccc44bccef2d3870b3c2794d2eec3d139e03a0e90707cc6a3c206b36facbada88c4d1991e0b2dc3a8113bd5910f3f328d89e9ad400e6109a74ad4b326891661da41a06c315147ca295ceb1ae0792f5b9f4aa32189381400b38c98137848a4cb6a5d47453c9f67ea24551b4e634a2d911ba3fd8c10c4b5679c931b59c6d4ca1c2c9ea5b1a977b4b3c99b8a3d0d24f7d7b86adde6860dd20d24a044f63667b880b8f51a3eb02f63e2712bc61e06daf1814d9a5204bf2b19da19edef19710eb8c8bde4880c779211936ec40e57b44ee39bc4789f253959bc17d84d1ad1b2f9c');
INSERT INTO public.ormco_connections VALUES ('twin-1', 'connected', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5b57291ae278413d426ca752c3c9c342e4093fb4e84fa2e40accb1b34cc0be9c0a7d3c0b861925e4', 1822542201684534437, 'test', 1795339800, NULL, 'u-twin', 'twin@practice.test', 'twin', 'europe', 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5b0fdbbf5517ba81d73a9d4bbe0a9dcd4983d6de21667f9271278228be6d1774738ecd2d071c77a63cce3f76918e023233c62fd66f150220f7c1b7edf0a324560805aa0209b4286cea2619deceb2a643f09383ba62188563b7e35eb7e778c941baf93267fc5dcc5b1216b92e37770ab355d76f55d7c2a89db0159970c8e6aaba28f732381ece8e72c3fe4a449818e7736a661d6a0b611142', NULL);
INSERT INTO public.ormco_connections VALUES ('twin-2', 'connected', 7, 1795343400, 1795339800, NULL, 1795343400, '\x01cb73ac287d0a6c5b351fb8545aff077289091056f157fc8175a5db76f7ec4bf20b2d654648f9de5696692277666fc8', 592254050404443626, 'test', 1795339800, NULL, 'u-twin', 'twin@practice.test', 'twin', 'europe', 'api', 1, 1795343400, 1795080600, NULL, NULL, NULL, 0, NULL, NULL, '\x01cb73ac287d0a6c5bfd1c883f625f200e5d3aa5c7c5b0a3903b7bd63aea4a81135c2af0019b950d8e61384d95f90d26901cf60e493c83358e0987b0b7c8e6d3df353e28af2ee62be6f218473874d1af2e38ceed483a367fd14b1c3198879f39658b925dbf1cd5b824ca24fe1b0a7d3436cc1d2e37e9c77f7867fedac5b46a056ceacfa5ed842c86ebfa20bc79f8a11d522e6360eef2da3d817bbda30dd3450e', NULL);
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (1, 1, 978785012832804167, 1795339800, 'begin', 'ok', 'connected', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (2, 2, 4366712787824260847, 1795339800, 'complete', 'ok', 'connected', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (3, 3, 2255077584437310507, 1795339800, 'refresh', 'provider_unavailable', 'degraded', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (4, 4, 1049781577156476708, 1795339800, 'refresh', 'grant_refused', 'needs-repair', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (5, 5, 1939809663318685522, 1795339800, 'revoke', 'begun', 'revoking', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (6, 6, 4568862803483895382, 1795339800, 'revoke', 'ok', 'revoked', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (7, 7, 423187306064051508, 1795339800, 'complete', 'provider_unavailable', 'unread', 'tests', NULL, '{}');
INSERT INTO public.ormco_events OVERRIDING SYSTEM VALUE VALUES (8, 8, 2179654436217257760, 1795339800, 'lab', 'active', 'connected', 'tests', NULL, '{"email": "lab@ormco.test"}');
INSERT INTO public.ormco_requests VALUES ('f36b45ae818809ee24ae2489edabfe3cf2a12627b6929c07fc7a3b885d414d44', 'connected', 1795340400, NULL, '\x01cb73ac287d0a6c5b3735a92750edd32967a1d8581afe2181d05b06bdfca3dde9a1e12631526791df698c977ce97702db0d20c93a5b62e18ccc14aa5db60cd5da504b79466a0d55cf324efd7b4c0028636f9357b8b063d35238955582b766158714b0cda7bde570698681b4c2e0d221243ddd074dd6a6d3502e8eb74f660b693f1f1fbf0d7b850782f6ac18e28fe2fbab8cacce754b8b87d9b72f95c310e1628c7d1d19cfcbc49d01cb20d0b89eb139bb6c4ce7eecbefa5df04a4c9bbf06d8c74ccfef75108d0066c2a4201a536a8adacbd3f8d37dbea74b823474fb78f50d91a2a198ba5230375f6105ed6a9337df1a933fd2fadb1ed47ea2c6df7fc21046773d6ab5301d245ec6303361935d2ee24d7acbef3537ae4b27525c625549f47bfde68f972932af403def3b9b5234a63d45d73534281590efdfcdf9bf64d2e138949b45081c9b58ba2776e51910f5d467a5e1841b4b3e804cb03b95821dd5fa2167c8b666fb893a56de3c928b55961e5017680a1b5525d9460e270285330824b9e3dddc8');
INSERT INTO public.ormco_schema VALUES (1, 1795936543.289126);
INSERT INTO public.ormco_schema VALUES (2, 1795936543.2946904);
INSERT INTO public.ormco_spent_codes VALUES ('9515776653f5490d85c9b528357746511e27210526841d3963e3903ca7eb250e', 1795339800, 1545613987206057656);
INSERT INTO public.ormco_store VALUES (1, '5c64b7cde74a867a', 'environment', '', 'cb73ac287d0a6c5b', 1795339800);
INSERT INTO public.ormco_watched_cases VALUES ('backend', 'connected', 'case-1', 4, 'Scanned', 'Sent', 'd', 's');
INSERT INTO public.ormco_watches VALUES ('backend', 'connected', 1795339800, 1795339805);
SELECT pg_catalog.setval('public.ormco_events_id_seq', 8, true);
ALTER TABLE ONLY public.ormco_connections
    ADD CONSTRAINT ormco_connections_pkey PRIMARY KEY (practice_id);
ALTER TABLE ONLY public.ormco_events
    ADD CONSTRAINT ormco_events_nonce_key UNIQUE (nonce);
ALTER TABLE ONLY public.ormco_events
    ADD CONSTRAINT ormco_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ormco_events
    ADD CONSTRAINT ormco_events_sequence_key UNIQUE (sequence);
ALTER TABLE ONLY public.ormco_requests
    ADD CONSTRAINT ormco_requests_pkey PRIMARY KEY (state_digest);
ALTER TABLE ONLY public.ormco_schema
    ADD CONSTRAINT ormco_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.ormco_spent_codes
    ADD CONSTRAINT ormco_spent_codes_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY public.ormco_store
    ADD CONSTRAINT ormco_store_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ormco_watched_cases
    ADD CONSTRAINT ormco_watched_cases_pkey PRIMARY KEY (practice_id, watch, case_id);
ALTER TABLE ONLY public.ormco_watches
    ADD CONSTRAINT ormco_watches_pkey PRIMARY KEY (practice_id, watch);
CREATE INDEX ormco_connections_account ON public.ormco_connections USING btree (provider, account_id);
CREATE INDEX ormco_connections_attention ON public.ormco_connections USING btree (practice_id) WHERE (state <> ALL (ARRAY['connected'::text, 'revoked'::text]));
CREATE INDEX ormco_connections_due ON public.ormco_connections USING btree (due_at, practice_id) WHERE (due_at IS NOT NULL);
CREATE INDEX ormco_events_practice ON public.ormco_events USING btree (practice_id);
CREATE INDEX ormco_events_unsettled ON public.ormco_events USING btree (id) WHERE (sequence IS NULL);
CREATE INDEX ormco_requests_expiry ON public.ormco_requests USING btree (expires_at);
CREATE INDEX ormco_requests_practice ON public.ormco_requests USING btree (practice_id);
CREATE INDEX ormco_spent_codes_age ON public.ormco_spent_codes USING btree (spent_at);
CREATE TRIGGER ormco_events_in_order BEFORE UPDATE OF sequence ON public.ormco_events FOR EACH ROW WHEN ((old.sequence IS NOT NULL)) EXECUTE FUNCTION public.ormco_append_only();
CREATE TRIGGER ormco_events_stay BEFORE DELETE ON public.ormco_events FOR EACH ROW EXECUTE FUNCTION public.ormco_append_only();
CREATE TRIGGER ormco_events_unchanged BEFORE UPDATE OF id, nonce, at, kind, outcome, practice_id, actor, state ON public.ormco_events FOR EACH ROW EXECUTE FUNCTION public.ormco_append_only();
