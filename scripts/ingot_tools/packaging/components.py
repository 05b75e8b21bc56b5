"""What of others is inside the released command: names, versions, licenses, and where the texts of the licenses are."""
from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
import re
import shutil
import subprocess

from ingot_tools import REPOSITORY

ROOT = REPOSITORY
TEXTS = pathlib.Path(__file__).resolve().parent / "licenses"
SWIFT_LICENSE = "Apache-2.0 WITH Swift-exception"


@dataclasses.dataclass
class Component:
    """Something that is linked into the command."""

    name: str
    version: str | None
    license: str
    supplier: str
    location: str
    purl: str
    text: pathlib.Path
    """The file with its license."""
    within: str | None = None
    """The component that brings it along, where it is not taken by itself."""
    is_data: bool = False
    """Tables that sources of ours were generated from, instead of code."""


# License and supplier of each package that Package.resolved may name. A package that is not here is an error: its license
# must be read, and its notice shipped, before a release has it.
PACKAGES = {
    "swift-argument-parser": (SWIFT_LICENSE, "Apple Inc. and the Swift project authors", "LICENSE.txt"),
    "yams": ("MIT", "JP Simard", "LICENSE"),
    "hummingbird": ("Apache-2.0", "The Hummingbird authors", "LICENSE.txt"),
    "swift-async-algorithms": (SWIFT_LICENSE, "Apple Inc. and the Swift project authors", "LICENSE.txt"),
    "swift-atomics": (SWIFT_LICENSE, "Apple Inc. and the Swift project authors", "LICENSE.txt"),
    "swift-collections": (SWIFT_LICENSE, "Apple Inc. and the Swift project authors", "LICENSE.txt"),
    "swift-http-types": ("Apache-2.0", "Apple Inc. and the Swift project authors", "LICENSE.txt"),
    "swift-log": ("Apache-2.0", "Apple Inc. and the SwiftLog project authors", "LICENSE.txt"),
    "swift-nio": ("Apache-2.0", "Apple Inc. and the SwiftNIO project authors", "LICENSE.txt"),
    "swift-nio-extras": ("Apache-2.0", "Apple Inc. and the SwiftNIO project authors", "LICENSE.txt"),
    "swift-service-lifecycle": ("Apache-2.0", "Apple Inc. and the SwiftServiceLifecycle project authors", "LICENSE.txt"),
}
# What Hummingbird names for parts of it that are not built here: TLS, HTTP/2, its router and its tests.
NOT_LINKED = {
    "async-http-client", "swift-algorithms", "swift-asn1", "swift-certificates", "swift-configuration", "swift-crypto",
    "swift-distributed-tracing", "swift-http-structured-headers", "swift-metrics", "swift-nio-http2", "swift-nio-ssl",
    "swift-nio-transport-services", "swift-numerics", "swift-service-context", "swift-system",
}


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def toolchain_license() -> pathlib.Path:
    """The license beside the compiler, which covers the runtime and Foundation."""
    swiftc = shutil.which("swiftc")
    if swiftc is None:
        raise SystemExit("swiftc is not in PATH: its runtime's license is needed")
    file = pathlib.Path(swiftc).resolve().parent.parent / "share/swift/LICENSE.txt"
    if not file.is_file():
        raise SystemExit(f"{file} is missing: the release must carry the license of the Swift runtime")
    return file


def packages(scratch: pathlib.Path) -> list[Component]:
    """The packages that the build in `scratch` was made from."""
    resolved = json.loads((ROOT / "Package.resolved").read_text())
    result = []
    for pin in resolved["pins"]:
        identity, location, state = pin["identity"], pin["location"].removesuffix(".git"), pin["state"]
        if identity in NOT_LINKED:
            continue
        if identity not in PACKAGES:
            raise SystemExit(f"Package.resolved names {identity}: say its license in scripts/ingot_tools/packaging/components.py")
        license_, supplier, file = PACKAGES[identity]
        checkout = scratch / "checkouts" / location.rsplit("/", 1)[-1]
        version = state.get("version") or state["revision"]
        result.append(Component(
            identity, version, license_, supplier, f"git+{location}@{state['revision']}",
            f"pkg:swift/{location.split('://')[-1]}@{version}", checkout / file))
    return result


def components(scratch: pathlib.Path) -> list[Component]:
    """All that is in the command built in `scratch`, by name.

    Raises SystemExit where a license is missing.
    """
    result = packages(scratch)
    result.append(Component(
        "libyaml", None, "MIT", "Kirill Simonov and the libyaml contributors", "git+https://github.com/yaml/libyaml",
        "pkg:github/yaml/libyaml", TEXTS / "libyaml.txt", within="yams"))
    result.append(Component(
        "llhttp", None, "MIT", "Fedor Indutny and the llhttp contributors", "git+https://github.com/nodejs/llhttp",
        "pkg:github/nodejs/llhttp", scratch / "checkouts/swift-nio/Sources/CNIOLLHTTP/LICENSE", within="swift-nio"))
    result.append(Component(
        "ggml-tables", None, "MIT", "The ggml authors", "git+https://github.com/ggml-org/llama.cpp",
        "pkg:pypi/gguf", TEXTS / "ggml.txt", is_data=True))
    result.append(Component(
        "unicode-data", None, "Unicode-3.0", "Unicode, Inc.", "https://www.unicode.org/Public/",
        "pkg:generic/unicode-character-database", TEXTS / "unicode-data.txt", is_data=True))
    zstd = output("pkg-config", "--modversion", "libzstd")
    result.append(Component(
        "zstd", zstd, "BSD-3-Clause", "Meta Platforms, Inc. and affiliates", f"git+https://github.com/facebook/zstd@v{zstd}",
        f"pkg:github/facebook/zstd@v{zstd}", TEXTS / "zstd.txt"))
    if platform.system() == "Linux":
        match = re.search(r"Swift version ([\d.]+)", output("swiftc", "--version"))
        swift = match[1] if match else None
        tag = f"@swift-{swift}-RELEASE" if swift else ""
        result.append(Component(
            "swift-runtime-and-foundation", swift, SWIFT_LICENSE, "Apple Inc. and the Swift project authors",
            f"git+https://github.com/swiftlang/swift{tag}", f"pkg:github/swiftlang/swift{tag}", toolchain_license()))
        result.append(Component(
            "icu", None, "Unicode-3.0", "Unicode, Inc.", "git+https://github.com/swiftlang/swift-foundation-icu",
            "pkg:github/swiftlang/swift-foundation-icu", TEXTS / "icu.txt", within="swift-runtime-and-foundation"))
    for component in result:
        if not component.text.is_file():
            raise SystemExit(f"{component.text} is missing: the license of {component.name}")
    return sorted(result, key=lambda component: component.name)
