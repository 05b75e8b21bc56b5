#!/usr/bin/env python3
"""Writes the software bill of materials of a built command, SPDX 2.3 in JSON.

usage: scripts/tools sbom FILE --ingot FILE --scratch FOLDER --epoch SECONDS
    --ingot     the command, as it is released
    --scratch   where it was built (.build-static)
    --epoch     time of the commit, in seconds since 1970
The same command and commit give the same bytes. `pyspdxtools --infile FILE`, of the package spdx-tools, validates it.
"""
from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import pathlib
import sys
from typing import Any

from ingot_tools.packaging import components


def identifier(name: str) -> str:
    return f"SPDXRef-{name}"


def package(part: components.Component) -> dict[str, Any]:
    described = {
        "SPDXID": identifier(part.name), "name": part.name, "supplier": f"Organization: {part.supplier}",
        "downloadLocation": part.location, "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": part.license, "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}],
    }
    if part.version:
        described["versionInfo"] = part.version
    return described


def relationship(subject: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": other}


def document(ingot: pathlib.Path, scratch: pathlib.Path, epoch: int) -> dict[str, Any]:
    version = components.output(str(ingot), "--version")
    parts = components.components(scratch)
    sha256 = hashlib.sha256(ingot.read_bytes()).hexdigest()
    own = identifier("ingot")
    relationships = [relationship("SPDXRef-DOCUMENT", "DESCRIBES", own)]
    for part in parts:
        if part.within:
            relationships.append(relationship(identifier(part.within), "CONTAINS", identifier(part.name)))
        else:
            kind = "GENERATED_FROM" if part.is_data else "STATIC_LINK"
            relationships.append(relationship(own, kind, identifier(part.name)))
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"ingot-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/ingot-{version}-{sha256}",
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: ingot-scripts/ingot_tools/packaging/sbom"],
        },
        "packages": [
            {"SPDXID": own, "name": "ingot", "versionInfo": version, "packageFileName": "bin/ingot",
             "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}], "downloadLocation": "NOASSERTION",
             "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
             "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION"},
            *map(package, parts)],
        "relationships": relationships,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--ingot", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    parser.add_argument("--epoch", type=int, required=True)
    arguments = parser.parse_args()
    described = document(arguments.ingot.resolve(), arguments.scratch, arguments.epoch)
    arguments.file.write_text(json.dumps(described, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
