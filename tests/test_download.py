"""Downloads: complete, verified, in the right place, and with an account that has access."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connector import Connector
from connector.communicate.client import ApiClient
from connector.communicate.download import Downloader
from connector.communicate.download_folder import PartFile, open_part, same_name
from connector.communicate.models import CaseFile
from connector.communicate.regions import ApiRegion
from connector.errors import CaseNotFoundError, ProviderUnavailableError, SettingError
from connector.own_files import create_own_file
from tests.support.cases import Workflow, connected, sound_case
from tests.support.clock import ManualClock
from tests.support.lab import lab_of
from tests.support.responses import raw_response, serving
from tests.support.sandbox import RunningSandbox


@pytest.fixture
def connector(classic: RunningSandbox, tmp_path: Path) -> Iterator[Any]:
    with connected(classic, tmp_path, maple=classic.practice) as connector:
        yield connector


@pytest.fixture
def case_id(workflow: Workflow) -> str:
    """A case with two scans and two attachments."""
    (sent,) = workflow.send()
    return sent


def download(connector: Connector, case_id: str, folder: Path, **options: Any) -> Any:
    return list(connector.cases.download("maple", case_id, folder, **options))


def attachment(name: str, content: bytes) -> Any:
    return {"name": name, "content": base64.b64encode(content).decode()}


def sha1_of(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def test_files_are_whole_verified_and_private(case_id: str, connector: Connector, tmp_path: Path) -> None:
    """Scans and attachments arrive with the stated SHA-1, in files that no other user can read."""
    files = download(connector, case_id, tmp_path / "out")
    assert [file.file.kind for file in files] == ["scan", "scan", "attachment", "attachment"]
    assert all(file.verified and sha1_of(file.path.read_bytes()) == file.file.sha1 for file in files)
    if sys.platform != "win32":
        assert {stat.S_IMODE(file.path.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert sorted(os.listdir(tmp_path / "out")) == sorted(file.path.name for file in files)


def test_second_download_fetches_nothing(
    classic: RunningSandbox, case_id: str, connector: Connector, tmp_path: Path
) -> None:
    """A file that is there whole is not fetched again, and one that was changed is not overwritten."""
    first = download(connector, case_id, tmp_path / "out")
    asked = classic.counters()["api:attachments"]
    first[0].path.write_bytes(b"somebody's own")
    again = download(connector, case_id, tmp_path / "out")
    assert classic.counters()["api:attachments"] == asked + 1
    assert again[0].path.name.endswith(" (2).dcm")
    assert first[0].path.read_bytes() == b"somebody's own"


@pytest.mark.parametrize("scenario", ["cut-download", "no-range"])
def test_cut_downloads_are_continued(
    classic: RunningSandbox, workflow: Workflow, connector: Connector, tmp_path: Path, scenario: str
) -> None:
    """A download that is cut again and again, or whose server knows no parts, arrives whole."""
    (case_id,) = workflow.send(attachments=[attachment("big.bin", os.urandom(60_000))])
    classic.set_scenarios(scenario)
    files = download(connector, case_id, tmp_path, kinds=["attachment"])
    assert all(file.verified for file in files)
    # 40,000 and 60,000 bytes, 7,000 at a time.
    parts = classic.counters()["api:attachments"]
    assert parts >= 6 + 9 if scenario == "cut-download" else parts == 3


def test_download_continues_after_another_process_was_killed(
    classic: RunningSandbox, workflow: Workflow, connector: Connector, tmp_path: Path
) -> None:
    """An unfinished file is finished, not begun again, and damage in it is noticed."""
    content = os.urandom(50_000)
    (case_id,) = workflow.send(attachments=[attachment("big.bin", content)])
    mark = sha1_of(content)
    part = tmp_path / f".{mark[:12]}-big.bin.part"
    for left, begins_at in ((content[:30_000], 30_000), (b"x" * 30_000, 0)):
        part.write_bytes(left)
        part.chmod(0o600)
        seen: list[Any] = []
        files = download(
            connector,
            case_id,
            tmp_path,
            progress=lambda file, done, size, seen=seen: file.name == "big.bin" and seen.append(done),
        )
        assert files[-1].path.read_bytes() == content
        assert not part.exists()
        assert min(seen) > begins_at
        files[-1].path.unlink()


def test_damaged_download_leaves_nothing(
    classic: RunningSandbox, case_id: str, connector: Connector, tmp_path: Path
) -> None:
    """A file whose SHA-1 is wrong is an error and no file; the others are still tried."""
    classic.set_scenarios("damaged-download")
    files = download(connector, case_id, tmp_path / "out")
    assert [type(file.error) for file in files] == [ProviderUnavailableError] * 4
    assert os.listdir(tmp_path / "out") == []


def test_download_without_progress_is_given_up(
    classic: RunningSandbox, case_id: str, connector: Connector, tmp_path: Path
) -> None:
    """A server that never gets further, since it knows no parts and cuts, is given up."""
    classic.set_scenarios("cut-download", "no-range")
    files = download(connector, case_id, tmp_path, kinds=["attachment"])
    assert [file.error is None for file in files] == [True, False]


def test_hostile_names_stay_in_the_folder(
    classic: RunningSandbox, workflow: Workflow, connector: Connector, tmp_path: Path
) -> None:
    """Names that leave the folder, name devices, hide or repeat become different files in the folder."""
    classic.set_scenarios("hostile-names")
    (case_id,) = workflow.send()
    inside = tmp_path / "deep" / "out"
    files = download(connector, case_id, inside, kinds=["attachment"])
    names = [file.path.name for file in files]
    assert all(file.error is None and file.verified and file.path.parent == inside for file in files)
    assert len({same_name(name) for name in names}) == len(names) == 2 + 20
    assert [path for path in tmp_path.rglob("*evil*") if path.is_file() and path.parent != inside] == []


def test_stl_is_fetched_as_the_lab(
    classic: RunningSandbox, workflow: Workflow, case_id: str, tmp_path: Path
) -> None:
    """An STL file is requested with the lab's own account of the region."""
    workflow.act(case_id, "receive", "accept", "design")
    practices = {"maple": classic.practice, "lab__americas": classic.lab}
    with connected(classic, tmp_path, **practices) as connector:
        (design,) = download(connector, case_id, tmp_path / "out", kinds=["design"])
        assert (design.verified, design.path.suffix) == (True, ".stl")
        classic.set_scenarios("no-stl")
        (refused,) = download(connector, case_id, tmp_path / "other", kinds=["design"])
    assert "special permission" in refused.error.hint


def test_lab_of_another_region_is_not_used(
    classic: RunningSandbox, workflow: Workflow, case_id: str, tmp_path: Path
) -> None:
    """A lab connection whose account is in another region is named as the trouble."""
    workflow.act(case_id, "receive", "accept", "design")
    practices = {"maple": classic.practice, "lab__americas": lab_of(classic, "europe")}
    with connected(classic, tmp_path, **practices) as connector:
        (design,) = download(connector, case_id, tmp_path / "out", kinds=["design"])
    assert "is in europe" in design.error.message


def test_files_without_a_stated_sha1_are_not_marked_as_verified(
    classic: RunningSandbox, case_id: str, connector: Connector, tmp_path: Path
) -> None:
    """Nothing to compare with: the files are downloaded, and marked as unverified."""
    classic.set_scenarios("no-hash")
    files = download(connector, case_id, tmp_path / "out")
    handed = list(connector.cases.download("maple", case_id, lambda file: io.BytesIO()))
    assert [(one.error, one.verified) for one in [*files, *handed]] == [(None, False)] * 2 * len(files)


def test_folder_that_cannot_be_written(case_id: str, connector: Connector, tmp_path: Path) -> None:
    """A folder that is a file is a matter of settings, in words."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SettingError, match="cannot be used"):
        download(connector, case_id, tmp_path / "out")


def test_foreign_addresses_get_no_token(
    classic: RunningSandbox, case_id: str, connector: Connector, tmp_path: Path
) -> None:
    """A file whose Href leads elsewhere is fetched from the provider's own host."""
    classic.set_scenarios("foreign-hrefs")
    assert all(file.verified for file in download(connector, case_id, tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_planted_link_is_not_followed(case_id: str, connector: Connector, tmp_path: Path) -> None:
    """A symbolic link in place of the unfinished file does not redirect the download."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_bytes(b"untouched")
    case = connector.cases.get("maple", case_id)
    for file in case.files:
        name = file.name or f"scan-{file.part}-{(file.sha1 or '')[:8]}.dcm"
        (out / f".{(file.sha1 or '')[:12]}-{name}.part").symlink_to(victim)
    files = download(connector, case_id, out)
    assert all(file.verified and not file.path.is_symlink() for file in files)
    assert victim.read_bytes() == b"untouched"


class FakeFiles:
    """A reader whose files come from a server of canned responses."""

    def __init__(self, url: str) -> None:
        self.api = ApiClient(lambda _: "AT", origins=[url], clock=ManualClock())
        self.region = ApiRegion(name="europe", api_url=f"{url}/api/")


@contextmanager
def downloading(*responses: Any, progress: Any = lambda *_: None) -> Iterator[Any]:
    """Run downloads of files from a server with these responses."""
    with serving(*responses) as server:
        reader: Any = FakeFiles(server.url)
        downloader = Downloader(reader, lab=lambda: None, progress=progress)
        case = sound_case({"Id": "c"})
        yield lambda files, target: list(downloader.run(case, files, target))


def plain(name: str, **fields: Any) -> Any:
    return CaseFile(kind="attachment", id=name.partition(".")[0], name=name, **fields)


def test_rerun_without_sha1_is_recognised(tmp_path: Path) -> None:
    """What is there is known by its content; a changed file gets a number. The folder may be a text."""
    with downloading(raw_response(b"first"), raw_response(b"first"), raw_response(b"second")) as run:
        paths = [run([plain("note.txt")], str(tmp_path))[0].path.name for _ in range(3)]
    assert paths == ["note.txt", "note.txt", "note (2).txt"]
    assert sorted(os.listdir(tmp_path)) == ["note (2).txt", "note.txt"]


def test_id_that_could_be_a_path_is_not_requested(tmp_path: Path) -> None:
    """A file without an address is requested by its SHA-1 or id, unless that leads to another place."""
    with downloading(raw_response(b"an account")) as run:
        (done,) = run([CaseFile(kind="attachment", id="../../users/me", name="note.txt")], tmp_path)
    assert isinstance(done.error, CaseNotFoundError)


by_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away"
)


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o622),
        lambda path: (path.parent / "second").hardlink_to(path),
        lambda path: path.replace(path.parent / "second") and path.symlink_to(path.parent / "second"),
        become_pipe,
        pytest.param(lambda path: os.chown(path, 65534, 65534), marks=by_root),
    ],
    ids=["open to others", "hard link", "symbolic link", "pipe", "another user's"],
)
def test_file_that_others_can_replace_is_downloaded_again(tmp_path: Path, change: Any) -> None:
    """It holds the right bytes now; it is downloaded again, beside what is there."""
    assert set(downloaded_beside(tmp_path, change)) - {"second"} == {"note (2).txt", "note.txt"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_kill_between_two_names_leaves_one_file(tmp_path: Path) -> None:
    """A file that got its name, but kept that of the unfinished one, is recognised, and keeps one."""
    part = f".{sha1_of(b'whole')[:12]}-note.txt.part"
    assert downloaded_beside(tmp_path, lambda path: (tmp_path / part).hardlink_to(path)) == ["note.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs modes")
def test_file_that_others_may_read_is_recognised(tmp_path: Path) -> None:
    """A practice may share what it downloads; the next run makes no second copy of it."""
    assert downloaded_beside(tmp_path, lambda path: path.chmod(0o644)) == ["note.txt"]


def downloaded_beside(folder: Path, change: Any) -> list[str]:
    """Download a file with a stated SHA-1 twice, with a change of the first in between; return the names."""
    file = plain("note.txt", sha1=sha1_of(b"whole"))
    with downloading(raw_response(b"whole")) as run:
        change(run([file], folder)[0].path)
        (again,) = run([file], folder)
    assert again.path.read_bytes() == b"whole"
    return sorted(os.listdir(folder))


def test_several_at_once_into_one_folder(tmp_path: Path) -> None:
    """Each of several downloads at once reports a file with the content that it fetched."""
    contents = [os.urandom(50_000) for _ in range(3)]

    def fetch(content: bytes) -> Any:
        with downloading(raw_response(content)) as run:
            (done,) = run([plain("scan.bin")], tmp_path)
            return done.path, content

    with ThreadPoolExecutor(3) as pool:
        for path, content in pool.map(fetch, contents * 2):
            assert path.read_bytes() == content
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_file_that_another_process_has_just_fetched_is_not_kept_twice(tmp_path: Path) -> None:
    """If two fetch one file into one folder, the second to end finds the first one's."""
    content = os.urandom(50_000)
    file = plain("scan.bin", sha1=sha1_of(content))
    others: list[Path] = []

    def other_process(*_: object) -> None:
        if not others:
            with downloading(raw_response(content)) as run:
                others.append(run([file], tmp_path)[0].path)

    with downloading(raw_response(content), progress=other_process) as run:
        (done,) = run([file], tmp_path)
    assert [done.path] == others
    assert os.listdir(tmp_path) == ["scan.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
@pytest.mark.parametrize("is_stated", [True, False])
def test_abandoned_parts_are_removed_when_the_file_is_whole(tmp_path: Path, is_stated: bool) -> None:
    """Several processes may each leave a part; a part that a process is at stays."""
    content = b"whole"
    sha1 = sha1_of(content) if is_stated else None
    name = f".{(sha1 or 'file')[:12]}-note.txt"
    with open_part(tmp_path, name, keep=True) as busy:
        for number in (2, 3):
            os.close(create_own_file(tmp_path / f"{name}.{number}.part"))
        with downloading(raw_response(content)) as run:
            run([plain("note.txt", sha1=sha1)], tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([busy.path.name, "note.txt"])
        os.close(create_own_file(tmp_path / f"{name}.2.part"))
        with downloading(raw_response(content)) as run:
            run([plain("note.txt", sha1=sha1)], tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([busy.path.name, "note.txt"])


def test_rerun_recognises_a_file_by_any_number(tmp_path: Path) -> None:
    """The numbers need not be without a gap."""
    case, content = [plain("note.txt"), plain("NOTE.TXT")], os.urandom(50_000)
    for expected in ("NOTE (2).TXT", "NOTE (7).TXT"):
        with downloading(raw_response(content), raw_response(content[::-1])) as run:
            assert [done.path.name for done in run(case, tmp_path)] == ["note.txt", expected]
        (tmp_path / expected).rename(tmp_path / "NOTE (7).TXT")
    assert sorted(os.listdir(tmp_path)) == ["NOTE (7).TXT", "note.txt"]


def test_full_disk_does_not_hide_the_saved_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written is an error of its own; those before and after it are reported."""
    flushed = PartFile.flush

    def flush(part: Any) -> None:
        if b"big" in part.path.name.encode():
            raise OSError(errno.ENOSPC, "No space left on device")
        flushed(part)

    monkeypatch.setattr(PartFile, "flush", flush)
    with downloading(raw_response(b"small"), raw_response(b"x" * 1000), raw_response(b"last")) as run:
        done = run([plain("a.txt"), plain("big.txt"), plain("c.txt")], tmp_path)
    assert [one.error is None for one in done] == [True, False, True]
    assert "No space left" in done[1].error.message
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "c.txt"]


def test_download_into_an_object(tmp_path: Path) -> None:
    """A file can be handed to whatever has `write`; it is whole and verified before its first byte."""
    whole = b"content" * 1000
    sha1 = sha1_of(whole)
    places: dict[Any, Any] = {}
    files = [plain("good.bin", sha1=sha1), plain("bad.bin", sha1="0" * 40)]
    with downloading(raw_response(whole)) as run:
        done = run(files, lambda file: places.setdefault(file.name, io.BytesIO()))
    assert [(one.path, one.verified, one.error is None) for one in done] == [
        (None, True, True),
        (None, False, False),
    ]
    assert {name: place.getvalue() for name, place in places.items()} == {"good.bin": whole}


def test_download_into_an_open_file(tmp_path: Path) -> None:
    """A bare file object takes one file, and a callback may give what only counts; neither is closed."""
    sizes: list[int] = []

    class Counter:
        """A place of a caller's own: it has `write`, and nothing else."""

        def write(self, data: bytes, /) -> None:
            sizes.append(len(data))

    with downloading(raw_response(b"whole" * 100)) as run, (tmp_path / "open").open("wb") as out:
        (first,) = run([plain("a.bin")], out)
        (second,) = run([plain("b.bin")], lambda file: Counter())
        assert not out.closed
    assert (tmp_path / "open").read_bytes() == b"whole" * 100
    assert (first.size, second.size, sum(sizes), first.error, second.error) == (500, 500, 500, None, None)


def test_object_that_takes_only_a_part_gets_the_rest() -> None:
    """A raw file may write less than it is given, and says how much; nothing is left out."""

    class Raw(io.BytesIO):
        def write(self, data: Any, /) -> int:
            return super().write(bytes(data)[:3])

    out = Raw()
    with downloading(raw_response(b"whole" * 100)) as run:
        (done,) = run([plain("a.bin")], out)
    assert (out.getvalue(), done.size) == (b"whole" * 100, 500)


@pytest.mark.parametrize(
    "target", [io.BytesIO(), 7, None, "a\0b"], ids=["one for two files", "number", "nothing", "no path"]
)
def test_target_that_cannot_be_used(target: Any) -> None:
    """It is refused in words before anything is asked for."""
    with downloading(raw_response(b"whole")) as run, pytest.raises(SettingError, match="cannot be"):
        run([plain("a.bin"), plain("b.bin")], target)


@pytest.mark.parametrize("kinds", [["scans"], "scan"])
def test_unknown_kind_of_file(case_id: str, connector: Connector, tmp_path: Path, kinds: Any) -> None:
    """A misspelt kind is an error, and not a case without files."""
    with pytest.raises(SettingError, match="no files of the kind"):
        download(connector, case_id, tmp_path, kinds=kinds)
