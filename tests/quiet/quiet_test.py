"""What the library does to its host as the system sees it: under strace, between the host's two marks, it opens the model
and nothing else but what tells it about processors, writes nowhere but to its own event descriptors and into the folder
that it was given, touches no network, signal handler, working directory or limit; and nothing asks for the environment.
usage: quiet_test.py <quiet_host> <model.gguf>"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# What a library that computes has to do with the system. Everything else needs a reason to be added here.
ALLOWED = {
    "openat", "open", "close", "read", "pread64", "fstat", "newfstatat", "stat", "statx", "lseek", "mmap", "munmap",
    "mprotect", "madvise", "mremap", "brk", "futex", "clone", "clone3", "set_robust_list", "rseq", "exit", "gettid",
    "rt_sigprocmask", "sched_getaffinity", "sched_setaffinity", "sched_yield", "prctl", "eventfd2", "clock_nanosleep",
    "getrandom", "sysinfo", "restart_syscall", "clock_gettime",
}
MACHINE = re.compile(r"^/(proc/(self/(cgroup|mountinfo|status)|meminfo|cpuinfo|mounts)"
                     r"|sys/(devices/system/(cpu|node)|fs/cgroup)(/.*)?|sys/kernel/mm/transparent_hugepage/.*)$")
TILES = re.compile(r"ARCH_REQ_XCOMP_PERM|0x1023")  # AMX tiles, as fsv_engine_create says
CALL = re.compile(r"^(?:\d+\s+)?(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed>)(.*)$")


def library_part(trace):
    lines = trace.splitlines()
    begin = next(i for i, line in enumerate(lines) if 'write(9, "begin"' in line)
    end = next(i for i, line in enumerate(lines) if 'write(9, "end"' in line)
    return lines[begin + 1:end]


def whole_calls(lines):
    """Each call in one line, also where another thread's came between its beginning and its end."""
    begun = {}
    for line in lines:
        thread = line.split()[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
        elif "resumed>" in line and thread in begun:
            yield begun.pop(thread) + line.split("resumed>", 1)[1]
        else:
            yield line
    yield from begun.values()


class WriteFolder:
    """The folder that the host named: files are created anew in its descriptor, locked,
    written, synced and renamed there."""

    def __init__(self, path):
        self.path, self.folders, self.files = path, set(), set()

    def allows(self, call, rest):
        if call == "openat" and "O_DIRECTORY" in rest and f'"{self.path}"' in rest:
            self.folders.update(re.findall(r"= (\d+)", rest))
            return True
        if call == "openat" and f'"{self.path}/slot"' in rest and "O_RDONLY" in rest:
            return True
        if call == "openat" and rest.split(",")[0] in self.folders and "O_CREAT|O_EXCL" in rest:
            self.files.update(re.findall(r"= (\d+)", rest))
            return '"slot.part"' in rest
        if call == "renameat":
            names = re.match(r'(\d+), "slot.part", (\d+), "slot"\)', rest)
            return names is not None and set(names.groups()) <= self.folders
        descriptor = re.split(r"[,)]", rest)[0]
        return call in ("pwrite64", "flock") and descriptor in self.files or call == "fsync" and descriptor in (
            self.files | self.folders)


def problems_of(lines, model, folder):
    problems, event_files, writes = [], set(), WriteFolder(folder)
    for line in whole_calls(lines):
        match = CALL.match(line)
        if not match or "+++" in line:
            continue
        call, rest = match.groups()
        if writes.allows(call, rest):
            continue
        if call == "eventfd2":
            event_files.update(re.findall(r"= (\d+)", rest))
        elif "resumed>" in line:
            continue  # looked at where it began
        elif call == "write":
            if rest.split(",")[0] not in event_files:
                problems.append(f"writes: {line}")
        elif call == "rt_sigaction" and "SIGRT_1" in rest:
            continue  # the C library's own, with the first thread of a process
        elif call == "arch_prctl" and TILES.search(rest):
            continue
        elif call in ("openat", "open", "access"):
            path = re.search(r'"([^"]*)"', rest).group(1)
            if path not in (model, "no such file.gguf") and not MACHINE.match(path):
                problems.append(f"opens {path}")
            if "O_WRONLY" in rest or "O_RDWR" in rest or "O_CREAT" in rest:
                problems.append(f"opens for writing: {line}")
        elif call not in ALLOWED:
            problems.append(f"calls {call}: {line}")
    return problems


def main():
    host, model = sys.argv[1:3]
    if not pathlib.Path(model).exists():
        print(f"SKIPPED: {model} is missing")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return judge(host, model, folder)


def judge(host, model, folder):
    saves = pathlib.Path(folder) / "saves"
    saves.mkdir()
    command = [host, model, str(saves)]
    plain = subprocess.run(command, capture_output=True, check=False)
    failures = []
    if plain.stdout or plain.stderr:
        failures.append(f"prints: {plain.stdout!r} {plain.stderr!r}")
    if plain.returncode != 0:
        failures.append(f"the host returned {plain.returncode}: above 99 it failed, below it counts getenv calls")
    if (names := [path.name for path in saves.iterdir()]) != ["slot"]:
        failures.append(f"the write folder holds {names}")
    if shutil.which("strace") is None:
        print("SKIPPED: there is no strace here" if not failures else "\n".join(failures))
        return 1 if failures else 0
    log = pathlib.Path(folder) / "trace"
    traced = subprocess.run(["strace", "-f", "-qq", "-o", str(log), *command], capture_output=True, check=False,
                            text=True)
    if not log.exists() or 'write(9, "begin"' not in log.read_text():
        print("\n".join(failures) or f"SKIPPED: strace does not work here: {traced.stderr.strip()}")
        return 1 if failures else 0
    lines = library_part(log.read_text())
    failures += problems_of(lines, model, str(saves))
    print(f"{len(lines)} calls of the system seen")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
