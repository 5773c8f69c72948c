"""Finds function definitions in C and C++ text by their braces: enough to measure them, no parser."""

import re

# Comments, string and character literals, and preprocessor lines (with continuations) hold no braces that count.
NOISE = re.compile(
    r"""//[^\n]*
      | /\*.*?\*/
      | R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'
      | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*
    """, re.VERBOSE | re.DOTALL | re.MULTILINE)
CONTAINER = re.compile(r"(^|\s)(namespace|class|struct|union|enum|extern)\b")
TEST_NAME = re.compile(r"((?:TYPED_)?TEST(?:_[FP])?|BENCHMARK_\w+)\s*\(([^)]*)\)")
NAME = re.compile(r"(operator\s*[^\s\w(]+|operator\s*\(\)|[~\w:]+)\s*\(")


def blank_noise(text):
    """The text with noise replaced by spaces; line breaks stay, so that lines keep their numbers."""
    return NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def opens_container(head):
    """Whether `head`, the text before a brace, opens a namespace, a type or extern "C"."""
    return bool(CONTAINER.search(head)) and not head.rstrip().endswith(")") and "(" not in head.split("=")[0]


def function_name(head):
    """The name in a function's head: of a test its suite and case; None if there is none."""
    if test := TEST_NAME.search(head):
        return ".".join(part.strip() for part in test.group(2).split(","))
    name = NAME.search(head)
    return name.group(1) if name else None


def stack_in_code(stack):
    return any(entry != "container" for entry in stack)


def c_functions(text):
    """Yields (name, lines) of each function defined at namespace or class level, its head included."""
    text = blank_noise(text)
    stack, head_start = [], 0  # stack of 'container', 'other' or (name, start offset) for a function
    for match in re.finditer(r"[{};]", text):
        symbol, at = match.group(0), match.start()
        inside_code = stack_in_code(stack)
        if symbol == "{":
            head = text[head_start:at]
            if inside_code:
                stack.append("other")
            elif opens_container(head):
                stack.append("container")
            elif name := function_name(head):
                stack.append((name, head_start + len(head) - len(head.lstrip())))
            else:
                stack.append("other")
        elif symbol == "}" and stack:
            entry = stack.pop()
            if not stack_in_code(stack) and text[at + 1:at + 200].lstrip()[:1] in (",", "{"):
                continue  # braces of a member initialiser: the function's own body is still to come
            if isinstance(entry, tuple):
                yield entry[0], text.count("\n", entry[1], at) + 1
        if not stack_in_code(stack):
            head_start = at + 1
