// Compare an address with the redirect URI, and name the page if it is another known one.

const REDIRECT_URI = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]+)(?::[0-9]+)?([^?#]*)/;
const SCHEME = /^(?:[A-Za-z]{0,5}:?\/\/+|[A-Za-z][A-Za-z0-9+-]{0,30}:(?![0-9])\/*)/;

class RedirectTarget {
  constructor(redirectUri, furtherHosts = []) {
    const [, host, path] = REDIRECT_URI.exec(redirectUri);
    this.hosts = new Set([host, ...furtherHosts].map(canonicalHost));
    this.whole = `https://www.${removePrefix(host.toLowerCase(), "www.")}${path.toLowerCase() || "/"}`;
  }

  hasHost(host) {
    return this.hosts.has(canonicalHost(host));
  }

  // The host of an address if it is another host, else null.
  otherHost(address) {
    const host = hostIn(address);
    if (!host || this.hasHost(host)) return null;
    const hasScheme = address.includes("://");
    const isHost = hasScheme || host.includes(".") || host.startsWith("[") || host === "localhost";
    return isHost && !this.endsWith(address) ? host : null;
  }

  // Whether this is the end of the whole address, as left by a partial deletion.
  endsWith(address) {
    return this.whole.endsWith(address.toLowerCase());
  }
}

function wrongAddress(address) {
  const host = hostIn(address);
  const path = pathIn(address);
  if (path.startsWith("/home/error")) return new Refusal("provider_error_page");
  const service = opaqueLinkService(host);
  if (service) return new Refusal("opaque_link", { service });
  for (const page of TABLES.pages) {
    if (matchesWhole(new RegExp(page.host), host) && matchAtStart(new RegExp(page.path), path)) {
      return new Refusal(page.reason);
    }
  }
  return new Refusal("other_host", { host: shownHost(host) });
}

// The canonical form of a host: lower case, punycode, without "www." and a final dot.
function canonicalHost(host) {
  host = trimEnd(host.toLowerCase(), ".");
  if (host.includes(":")) return hostOfUrl(`[${trim(host, "[]")}]`) ?? host;
  if (/[^\x00-\x7f]/.test(host) && !/[^\w.\-\u0080-\uffff]/.test(host)) {
    const ascii = hostOfUrl(host);
    if (ascii === null) return host;
    host = trimEnd(ascii, ".");
  }
  return removePrefix(host, "www.");
}

function hostOfUrl(host) {
  try {
    return new URL(`http://${host}/`).hostname;
  } catch {
    return null;
  }
}

// The part after the scheme, or "" for a path without a host.
function restOf(address) {
  // A browser treats a backslash as a slash.
  address = trimStart(address.replace(/\\/g, "/"), ".,;…*~_");
  if (address.includes("://")) return partition(address, "://")[2];
  if (address.startsWith("/") && !address.startsWith("//")) return "";
  const scheme = SCHEME.exec(address);
  return scheme ? address.slice(scheme[0].length) : address;
}

function hostIn(address) {
  const authority = partition(trimStart(restOf(address), "/"), "/")[0];
  const host = authority.slice(authority.lastIndexOf("@") + 1).replace(/:[0-9]*$/, "");
  return trimEnd(host.toLowerCase(), ".");
}

function pathIn(address) {
  return `/${partition(trimStart(restOf(address), "/"), "/")[2].toLowerCase()}`;
}

// Untrusted text: it could contain a code, control characters, or look-alikes of letters.
function shownHost(host) {
  const name = host.replace(/[^a-z0-9.:[\]-]/g, "?");
  return name.length <= 60 ? name : "…";
}
