"""What is wrong between an installed torch, the driver and the card: told in words, for it is a person who mends it."""

from __future__ import annotations

from finetty.backend.machine.torch_builds import BUILDS, Capability, numbers
from finetty.backend.messages import Message, message

WITHOUT_CUDA = message("torch_mismatch.without_cuda", "the installed torch was built without CUDA")
OLD_DRIVER = message(
    "torch_mismatch.old_driver",
    "the installed torch was built for CUDA {cuda}, which needs driver {needed} or newer; here is {driver}",
)
NO_CODE = message(
    "torch_mismatch.no_code",
    "the installed torch, built for CUDA {cuda}, has no code for a card of capability {capability}",
)
OLDEST_DRIVERS = {11: (450, 80), 12: (525,), 13: (580,)}
"""By CUDA's major version; the source is torch_builds'."""


def mismatch(driver: str, capability: Capability, cuda: str | None) -> Message | None:
    """What is wrong with a torch built for `cuda` ("13.0", None without) on this driver and card; None if nothing."""
    if cuda is None:
        return WITHOUT_CUDA()
    needed = OLDEST_DRIVERS.get(numbers(cuda)[0])
    if needed is not None and numbers(driver) < needed:
        return OLD_DRIVER(cuda=cuda, needed=".".join(map(str, needed)), driver=driver)
    built = [build for build in BUILDS if build.cuda == numbers(cuda)[:2]]
    if built and not any(build.oldest <= capability <= build.newest for build in built):
        return NO_CODE(cuda=cuda, capability=f"{capability[0]}.{capability[1]}")
    return None
