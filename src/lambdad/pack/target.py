"""What a layer is built for: processor, loader and the environment that Lambda gives a process.

Values only. The environment is that of `provided.*` runtimes on AWS (recorded there), because a layer that runs
under it runs under the managed runtimes too: they only add `/var/lang` in front. PATH has it here already, as under
`provided.al2023`: a base may have an interpreter there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdad.pack.errors import PackError

LIBRARY_PATH = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
"""`LD_LIBRARY_PATH` of `provided.*`: the system's libraries stand before the layer's."""

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": LIBRARY_PATH,
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "layer-test",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "_HANDLER": "index.handler",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """One processor, under the names that everybody calls it by.

    lambda_name: in the Lambda API; debian, wheel, npm: in those registries; machine: ELF's `e_machine`;
    multiarch: Debian's directory of shared objects; hwcaps: `glibc-hwcaps` levels, best first;
    page_size: bytes, the largest that kernels of this processor use.
    """

    lambda_name: str
    debian: str
    wheel: str
    npm: str
    machine: str
    multiarch: str
    interpreter: str
    hwcaps: tuple[str, ...]
    page_size: int

    @property
    def system_directories(self) -> tuple[str, ...]:
        """ld.so's built-in search path in Debian's glibc."""
        return (f"/lib/{self.multiarch}", f"/usr/lib/{self.multiarch}", "/lib", "/usr/lib")

    @property
    def library_token(self) -> str:
        """What Debian's ld.so puts in place of `$LIB`."""
        return f"lib/{self.multiarch}"


X86_64 = Arch(
    lambda_name="x86_64",
    debian="amd64",
    wheel="x86_64",
    npm="x64",
    machine="EM_X86_64",
    multiarch="x86_64-linux-gnu",
    interpreter="/lib64/ld-linux-x86-64.so.2",
    hwcaps=("x86-64-v4", "x86-64-v3", "x86-64-v2"),
    page_size=4_096,
)
ARM64 = Arch(
    lambda_name="arm64",
    debian="arm64",
    wheel="aarch64",
    npm="arm64",
    machine="EM_AARCH64",
    multiarch="aarch64-linux-gnu",
    interpreter="/lib/ld-linux-aarch64.so.1",
    hwcaps=(),
    page_size=65_536,
)
ARCHES: Mapping[str, Arch] = {arch.lambda_name: arch for arch in (X86_64, ARM64)}


def arch_named(name: str) -> Arch:
    """The `Arch` that Lambda, Debian or `uname -m` calls `name`. Raises PackError."""
    for arch in ARCHES.values():
        if name in (arch.lambda_name, arch.debian, arch.wheel):
            return arch
    raise PackError(f"unknown architecture {name!r}: use one of {', '.join(ARCHES)}")
