"""Parses include/fastserve.h. The header keeps to a small part of C; anything else in it is an error with its line, so
that nothing is passed over in silence."""

import re

from description import Api, Callback, Constant, Enum, Field, Function, Member, Struct, Type

TOKEN = re.compile(r"""(?P<comment>/\*.*?\*/)|(?P<define>\#[^\n]*)|(?P<word>[A-Za-z_]\w*)|(?P<number>-?\d\w*)
                       |(?P<text>"[^"]*")|(?P<punct>[{}()\[\],;=*])|(?P<space>\s+)|(?P<bad>.)""", re.DOTALL | re.VERBOSE)
NAMED_VALUES = {"UINT32_MAX": 2**32 - 1, "SIZE_MAX": 2**64 - 1, "INT32_MAX": 2**31 - 1}


class HeaderError(Exception):
    pass


class Token:
    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line
        self.end_line = line + text.count("\n")


def comment_text(token):
    """A comment without its frame; a ruled section heading has no text of its own."""
    first, *others = token.text[2:-2].splitlines()
    lines = [first.strip()] + [re.sub(r"^\s*\* ?", "", line).strip() for line in others]
    return "\n".join(lines).strip()


def without_foreign_lines(text):
    """Blanks the blocks that are not this ABI: of other compilers and of C++. The include guard stays open."""
    kept, depth = [], 0
    for line in text.splitlines():
        opens, closes = re.match(r"\s*#\s*if", line), re.match(r"\s*#\s*endif", line)
        is_guard = "FASTSERVE_H" in line
        depth += bool(opens and not is_guard)
        kept.append("" if depth or is_guard else line)
        depth -= bool(closes and not is_guard and depth)
    return "\n".join(kept)


class Parser:
    def __init__(self, text):
        self.tokens = []
        line = 1
        for match in TOKEN.finditer(without_foreign_lines(text)):
            kind = match.lastgroup
            if kind == "bad":
                raise HeaderError(f"line {line}: unexpected '{match.group()}'")
            if kind != "space":
                self.tokens.append(Token(kind, match.group(), line))
            line += match.group().count("\n")
        self.at = 0
        self.api = Api()

    # What comes next, comments aside.
    def peek(self):
        at = self.at
        while at < len(self.tokens) and self.tokens[at].kind == "comment":
            at += 1
        return self.tokens[at].text if at < len(self.tokens) else ""

    def next(self, expected=None):
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "comment":
            self.at += 1
        if self.at == len(self.tokens):
            raise HeaderError(f"line {self.tokens[-1].end_line}: the file ends within a declaration")
        token = self.tokens[self.at]
        self.at += 1
        if expected is not None and token.text != expected:
            raise HeaderError(f"line {token.line}: '{token.text}' where '{expected}' should be")
        return token

    def accept(self, text):
        if self.peek() != text:
            return False
        self.next()
        return True

    # The last comment before the next token, unless a blank line parts them.
    def doc_before(self):
        doc = None
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "comment":
            doc = self.tokens[self.at]
            self.at += 1
        is_near = doc is not None and self.at < len(self.tokens) and self.tokens[self.at].line - doc.end_line <= 1
        return comment_text(doc) if is_near and "----" not in doc.text else ""

    # A comment on the line of the token just read.
    def doc_behind(self):
        last = self.tokens[self.at - 1]
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind != "comment" or token.line != last.end_line:
            return ""
        self.at += 1
        return " ".join(comment_text(token).split())

    def base_type(self):
        is_const = self.accept("const")
        self.accept("struct")
        name = self.next()
        if name.kind != "word":
            raise HeaderError(f"line {name.line}: '{name.text}' is no type")
        return name.text, is_const

    def pointers(self):
        count = 0
        while self.accept("*"):
            count += 1
        return count

    def parameters(self):
        self.next("(")
        if self.accept("void"):
            if self.accept(")"):
                return []
            self.at -= 1  # void* something
        found = []
        while True:
            name, is_const = self.base_type()
            pointers = self.pointers()
            found.append(Field(self.next().text, Type(name, pointers, is_const)))
            if not self.accept(","):
                break
        self.next(")")
        return found

    def function_pointer(self, result):
        """The rest of `result (*name)(parameters)`."""
        self.next("(")
        self.next("*")
        name = self.next().text
        self.next(")")
        return name, Callback("", result, self.parameters())

    def declarators(self, base, is_const):
        """One field, or several that share a base type."""
        while True:
            pointers = self.pointers()
            if self.peek() == "(":
                name, callback = self.function_pointer(Type(base, pointers, is_const))
                yield name, Type(base, callback=callback)
            else:
                name, array = self.next().text, ""
                if self.accept("["):
                    array = self.next().text
                    self.next("]")
                yield name, Type(base, pointers, is_const, array)
            if not self.accept(","):
                return

    def fields(self):
        self.next("{")
        found = []
        while True:
            doc = self.doc_before()
            if self.accept("}"):
                return found
            base, is_const = self.base_type()
            declared = list(self.declarators(base, is_const))
            self.next(";")
            behind = self.doc_behind()
            doc = " ".join(f"{doc} {behind}".split())
            found.extend(Field(name, kind, doc) for name, kind in declared)

    def typedef(self, doc):
        self.next("typedef")
        if self.accept("struct"):
            tag = self.next().text
            if self.peek() == "{":
                self.api.structs.append(Struct(tag, self.fields(), doc))
            else:
                self.api.handles.append(tag)
            self.next(tag)
        else:
            base, is_const = self.base_type()
            result = Type(base, self.pointers(), is_const)
            if self.peek() == "(":
                name, callback = self.function_pointer(result)
                self.api.callbacks.append(Callback(name, result, callback.parameters, doc))
            else:
                self.api.aliases[self.next().text] = base
        self.next(";")

    def number(self):
        token = self.next()
        if token.kind != "number":
            raise HeaderError(f"line {token.line}: '{token.text}' is no number")
        return int(token.text, 0)

    def enum(self, doc):
        self.next("enum")
        self.next("{")
        members = []
        while True:
            before = self.doc_before() if members else " ".join(self.doc_before().split())
            if self.accept("}"):
                break
            name = self.next().text
            self.next("=")
            value = self.number()
            self.accept(",")
            members.append(Member(name, value, f"{before} {self.doc_behind()}".strip()))
        self.next(";")
        self.api.enums.append(Enum(shared_prefix([member.name for member in members]), members, doc))

    def function(self, doc):
        self.next("FSV_API")
        base, is_const = self.base_type()
        result = Type(base, self.pointers(), is_const)
        name = self.next().text
        parameters = self.parameters()
        self.next(";")
        self.api.functions.append(Function(name, result, parameters, doc))

    def define(self, doc):
        token = self.next()
        match = re.fullmatch(r"#define (FSV_\w+) (\w+)\s*", token.text)
        if match:
            value = match.group(2)
            number = NAMED_VALUES[value] if value in NAMED_VALUES else int(value, 0)
            self.api.constants.append(Constant(match.group(1), number, doc))
        elif not re.match(r"#include <", token.text):
            raise HeaderError(f"line {token.line}: cannot read '{token.text}'")

    def parse(self):
        while True:
            doc = self.doc_before()
            if not self.peek():
                return checked(self.api)
            first = self.tokens[self.at]
            if first.kind == "define":
                self.define(doc)
            elif first.text in ("typedef", "enum"):
                getattr(self, first.text)(doc)
            elif first.text == "FSV_API":
                self.function(doc)
            else:
                raise HeaderError(f"line {first.line}: cannot read '{first.text}'")


def checked(api):
    names = [enum.name for enum in api.enums]
    for enum in api.enums:
        if names.count(enum.name) > 1:
            raise HeaderError(f"two groups of constants are called {enum.name}, one of {enum.members[0].name}: name them in "
                              "ENUM_NAMES of tools/generate/description.py")
    return api


def shared_prefix(names):
    """"FSV_MODE_" of FSV_MODE_THREADED and FSV_MODE_PUMPED; of a single name its first word."""
    words = [name.split("_") for name in names]
    if len(names) == 1:
        return "_".join(words[0][:2]) + "_"
    shared = 0
    while all(len(split) > shared + 1 and split[shared] == words[0][shared] for split in words):
        shared += 1
    return "_".join(words[0][:shared]) + "_"


def parse(text):
    return Parser(text).parse()
