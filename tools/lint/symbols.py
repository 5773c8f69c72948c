"""What the built library exports and imports.

symbols.py <libfastserve.so> [object or archive...]
The shared library exports fsv_* and nothing else. The library's own objects import nothing that could end the host
process, print, read its environment, depend on its locale, or keep the library from being unloaded.
"""

import re
import subprocess
import sys

from common import finish

# std::terminate is not among them: compilers call it wherever something noexcept is inlined.
FORBIDDEN = {
    "ends the process": ["abort", "exit", "_exit", "_Exit", "quick_exit", "__assert_fail", "raise", "kill"],
    "prints": ["printf", "puts", "putchar", "perror", "stderr", "stdout", "_ZSt4cout", "_ZSt4cerr", "_ZSt4clog",
               "__printf_chk", "__fprintf_chk", "fprintf", "vfprintf"],
    "reads the environment": ["getenv", "secure_getenv", "environ"],
    "changes the process": ["setlocale", "uselocale", "signal", "sigaction", "atexit", "pthread_atfork", "chdir",
                            "setenv", "srand", "rand"],
    "depends on the locale": ["strtod", "strtof", "strtold", "atof", "tolower", "toupper", "isspace", "isalpha",
                              "isdigit", "isalnum", "__ctype_b_loc", "__ctype_tolower_loc", "__ctype_toupper_loc",
                              "sscanf", "__isoc99_sscanf"],
    "thread_local with a destructor": ["__cxa_thread_atexit", "__cxa_thread_atexit_impl"],
}
REASON = {symbol: reason for reason, symbols in FORBIDDEN.items() for symbol in symbols}


def nm(*arguments):
    return subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout


def export_problems(library):
    exported = [line.split()[-1] for line in nm("-D", "--defined-only", library).splitlines()]
    problems = [f"{library}: exports {name}" for name in exported if not name.startswith("fsv_")]
    if not exported:
        problems.append(f"{library}: exports nothing")
    return problems


def import_problems(binary):
    problems, member = [], binary
    for line in nm("-u", binary).splitlines():
        if match := re.fullmatch(r"(\S+\.o):", line.strip()):
            member = match.group(1)
        elif match := re.match(r"\s*[Uwv]\s+(\S+)", line):
            symbol = match.group(1).split("@")[0]
            if symbol in REASON:
                problems.append(f"{member}: imports {symbol}: {REASON[symbol]}")
    return problems


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    problems = export_problems(sys.argv[1])
    for binary in sys.argv[2:]:
        problems.extend(import_problems(binary))
    finish("symbols", problems)


if __name__ == "__main__":
    main()
