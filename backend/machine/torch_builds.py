"""Which build of torch a driver and a card can run. Only the standard library: `make install` reads it before there is
anything else.

Sources. Drivers: CUDA 13.x needs 580 or newer, 12.x 525, 11.x 450.80.02 (docs.nvidia.com/deploy/cuda-compatibility,
minor version compatibility, table 1). Builds and the architectures in them: PyTorch's RELEASE.md and its release
issues #172663 (2.11: CUDA 12.6, 12.8, 13.0), #178665 and pull request #182849 (2.12: 12.6, 13.0, 13.2), #190355
(2.14: 12.6, 13.0, 13.2); 2.7.1 was the last with CUDA 11.8.
"""

from __future__ import annotations

from dataclasses import dataclass

Capability = tuple[int, int]
OLDEST_TORCH, NEWEST_TORCH = (2, 7), (2, 15)
"""finetty's own range: from the first, below the second (pyproject.toml)."""


@dataclass(frozen=True)
class Build:
    """One build of torch: where it is, the oldest driver that runs it, and the capabilities that it has code for."""

    torch: str
    cuda: tuple[int, int] | None
    index: str | None
    driver: tuple[int, ...]
    oldest: Capability
    newest: Capability

    def runs(self, driver: tuple[int, ...], capability: Capability) -> bool:
        return driver >= self.driver and self.oldest <= capability <= self.newest

    @property
    def requirement(self) -> str:
        return f"torch=={self.torch}"

    @property
    def pip_arguments(self) -> list[str]:
        return [self.requirement, *(["--index-url", self.index] if self.index else [])]


_WHEELS = "https://download.pytorch.org/whl"
LOCKED = "2.13.0"
"""The version in constraints.txt. PyPI has its build for CUDA 13.0."""
BUILDS = (
    Build(LOCKED, (13, 0), None, (580,), (7, 5), (12, 1)),
    Build(LOCKED, (12, 6), f"{_WHEELS}/cu126", (525,), (5, 0), (9, 0)),
    Build("2.11.0", (12, 8), f"{_WHEELS}/cu128", (525,), (7, 5), (12, 0)),
    Build("2.7.1", (11, 8), f"{_WHEELS}/cu118", (450, 80), (5, 0), (9, 0)),
)
"""The newest torch first, and of one torch the newest CUDA."""
ON_CPU = Build(LOCKED, None, None, (), (0, 0), (0, 0))


@dataclass(frozen=True)
class Found:
    """A torch that is installed already: its version, and whether it sees a card and can compute on it."""

    version: str
    works: bool


@dataclass(frozen=True)
class Decision:
    """What to install and why. `use_installed`: nothing, the machine's own torch does."""

    build: Build
    use_installed: bool
    reason: str


def decide(driver: str | None, capabilities: list[Capability], installed: Found | None = None) -> Decision:
    """The torch for this machine: the one that is here and works, else the newest that its cards can run."""
    if not capabilities or driver is None:
        return Decision(ON_CPU, False, "no NVIDIA card is here, so torch computes on the processor")
    if installed is not None and installed.works and in_range(installed.version):
        return Decision(ON_CPU, True, f"torch {installed.version} is here already and works on the card")
    version = numbers(driver)
    best = max(capabilities)
    for build in BUILDS:
        if build.runs(version, best):
            return Decision(build, False, _why(build, driver, best))
    return Decision(ON_CPU, False, _why_none(driver, best))


def in_range(version: str) -> bool:
    return OLDEST_TORCH <= numbers(version)[:2] < NEWEST_TORCH


def numbers(version: str) -> tuple[int, ...]:
    """ "580.95.05" as (580, 95, 5), "2.13.0+cu126" as (2, 13, 0): versions compare as numbers, not as texts."""
    found: list[int] = []
    for part in version.split("+")[0].split("."):
        digits = "".join(character for character in part if character.isdigit())
        if not digits:
            break
        found.append(int(digits))
    return tuple(found) or (0,)


def _why(build: Build, driver: str, capability: Capability) -> str:
    card, cuda = f"{capability[0]}.{capability[1]}", ".".join(map(str, build.cuda or ()))
    words = f"driver {driver} and a card of capability {card} run torch {build.torch} for CUDA {cuda}"
    if build is BUILDS[0]:
        return words
    newest = BUILDS[0]
    if numbers(driver) < newest.driver:
        return f"{words}; the newest build needs driver {newest.driver[0]}"
    return f"{words}; the newest build has no code for this card"


def _why_none(driver: str, capability: Capability) -> str:
    card, oldest = f"{capability[0]}.{capability[1]}", f"{OLDEST_TORCH[0]}.{OLDEST_TORCH[1]}"
    return (
        f"no torch from {oldest} on runs on driver {driver} with a card of capability {card}: update the driver;"
        " until then torch computes on the processor"
    )
