"""`python -m tools.components FILE` writes the list of the service's components, as validated CycloneDX JSON.

The packages of uv.lock that the container image has, with the hashes of their files: neither what only development
needs, nor the PostgreSQL of `make run`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

_UV: Final = Path(sys.executable).with_name("uv")
_EXPORT: Final = ("export", "--locked", "--offline", "--quiet", "--no-default-groups", "--no-editable")
_FORMAT: Final = ("--format", "cyclonedx1.5", "--preview-features", "sbom-export,build-dependency-hashes")


def main() -> None:
    (name,) = sys.argv[1:]
    file = Path(name)
    text = components()
    if wrong := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text):
        sys.exit(f"not written: this is no CycloneDX 1.5: {wrong}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    print(f"wrote {file}")


def components() -> str:
    """The list, made with uv. Raises CalledProcessError if, for instance, uv.lock does not fit pyproject.toml."""
    return subprocess.run([_UV, *_EXPORT, *_FORMAT], stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
