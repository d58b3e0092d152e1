"""`python -m tools.licences` names the installed packages whose licence the policy in licences.toml does not allow.

The installed packages are those that uv.lock has for this machine, so the tool asks nothing over the network.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from license_expression import ExpressionError, get_spdx_licensing

POLICY = Path(__file__).with_suffix(".toml")
_CLASSIFIER = "License :: "
_SPDX = get_spdx_licensing()


@dataclass(frozen=True, slots=True)
class Policy:
    """The contents of licences.toml. `excepted` has further licences that single packages may have."""

    permissive: Sequence[str]
    spelled: Mapping[str, str]
    excepted: Mapping[str, str]

    def allows(self, package: str, expression: str) -> bool:
        """Whether all licences that bind a user of the package are allowed; of alternatives, one is enough."""
        allowed = {*self.permissive, self.excepted.get(package.lower(), "MIT")}
        symbols = _SPDX.license_symbols(expression)
        given = {symbol: _SPDX.TRUE if symbol.key in allowed else _SPDX.FALSE for symbol in symbols}
        return bool(_SPDX.parse(expression, validate=True).subs(given, simplify=True) == _SPDX.TRUE)


def read_policy() -> Policy:
    return Policy(**tomllib.loads(POLICY.read_text("utf-8")))


def licence_of(package: Distribution, policy: Policy) -> str | None:
    """The licence as an SPDX expression, from the best declaration of the package; None if none can be read.

    All of several classifiers are taken to bind, because classifiers do not say whether they are alternatives.
    """
    declared = package.metadata
    for expression in declared.get_all("License-Expression") or ():
        return str(expression)
    # Some packages have the whole text in this field: its title is the name.
    title = "".join(declared.get_all("License") or ()).strip().partition("\n")[0].strip()
    if title in policy.spelled:
        return policy.spelled[title]
    if title and is_expression(title):
        return title
    lines = [line for line in declared.get_all("Classifier") or () if line.startswith(_CLASSIFIER)]
    names = [line.rpartition(" :: ")[2] for line in lines]
    if not names or any(name not in policy.spelled for name in names):
        return None
    return " AND ".join(policy.spelled[name] for name in names)


def is_expression(text: str) -> bool:
    try:
        _SPDX.parse(text, validate=True)
    except ExpressionError:
        return False
    return True


def refused(packages: Sequence[Distribution], policy: Policy) -> Iterator[str]:
    """Lines that name a package and why it may not be used."""
    for package in packages:
        licence = licence_of(package, policy)
        if licence is None:
            yield f"{package.name} {package.version}: it declares no licence that is understood"
        elif not is_expression(licence):
            yield f"{package.name} {package.version}: {licence} is no SPDX expression"
        elif not policy.allows(package.name, licence):
            yield f"{package.name} {package.version}: {licence} is not in the policy"


def main() -> None:
    packages = sorted(distributions(), key=lambda each: each.name.lower())
    lines = list(refused(packages, read_policy()))
    for line in lines:
        print(line)
    print(f"{len(packages)} packages, {len(lines)} with a licence that {POLICY.name} does not have")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
