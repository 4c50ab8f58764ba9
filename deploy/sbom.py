"""Print the bill of materials (CycloneDX 1.6, JSON) of what the image installs: python deploy/sbom.py > sbom.json"""

import json
import re
import uuid
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# A package with its version, and the checksums of its files in the lines that go on.
ENTRY = re.compile(r"^([\w.-]+)==([^\s;\\]+)((?:.*\\\n)*.*)", re.MULTILINE)


def sbom(requirements: str) -> dict[str, object]:
    """The document for the text of a locked requirements file; the same for the same text."""
    components = []
    for name, version, rest in ENTRY.findall(requirements):
        purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        hashes = [{"alg": "SHA-256", "content": content} for content in re.findall(r"sha256:(\w+)", rest)]
        components.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "externalReferences": [
            {"type": "distribution", "url": f"https://pypi.org/project/{name}/{version}/#files", "hashes": hashes}]})
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, requirements)}",
            "version": 1, "metadata": {"component": {"type": "application", "bom-ref": "musicrec", "name": "musicrec"}},
            "components": components,
            "dependencies": [{"ref": "musicrec", "dependsOn": [component["bom-ref"] for component in components]}]}


if __name__ == "__main__":
    print(json.dumps(sbom(REQUIREMENTS.read_text(encoding="utf-8")), indent=1))
