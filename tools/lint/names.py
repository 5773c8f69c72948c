"""File names are unique in the library (mirrored backend files aside), and no text names a machine or a registry."""

import re
from collections import defaultdict

from common import TEXT_SUFFIXES, finish, is_golden_data, read, repository_files

# Absolute paths of someone's machine, and hosts of package registries: neither belongs in a repository.
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:tm[p]|wor[k]|hom[e]|roo[t]|User[s])/")
REGISTRY_HOST = re.compile(r"\b(?:py[p]i\.org|python[h]osted\.org|static\.crate[s]\.io|index\.crate[s]\.io|npm[j]s\.org|"
                           r"proxy\.golan[g]\.org|maven\.or[g]|nuge[t]\.org|deb\.debia[n]\.org)\b")


def duplicate_names(files):
    seen = defaultdict(list)
    for path in files:
        if path.parts[0] == "src":
            seen[path.name].append(path.as_posix())
    return [f"{' and '.join(paths)} have the same name" for paths in seen.values() if len(paths) > 1]


def foreign_text(files):
    for path in files:
        if path.suffix not in TEXT_SUFFIXES or is_golden_data(path):
            continue
        for number, line in enumerate(read(path).splitlines(), 1):
            for kind, pattern in (("a machine's path", MACHINE_PATH), ("a registry's host", REGISTRY_HOST)):
                if match := pattern.search(line):
                    yield f"{path}:{number}: {kind}: {match.group(0)}"


def main():
    files = repository_files()
    finish("names", duplicate_names(files) + list(foreign_text(files)))


if __name__ == "__main__":
    main()
