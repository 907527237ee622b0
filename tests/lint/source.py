"""What the checks of lint.py know about a tree: its files, their code without comments, functions."""

import os
import re
import subprocess

CODE = (".c", ".h", ".cc")
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_strings):
    """The same text with comments (and strings) as spaces: lines and columns stay where they are."""

    def replace(match):
        token = match.group()
        if token[0] == "/" or not keep_strings:
            return re.sub(r"[^\n]", " ", token)
        return token

    return TOKEN.sub(replace, text)


class Function:
    def __init__(self, name, line, lines, params):
        self.name, self.line, self.lines, self.params = name, line, lines, params


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = sorted(self._list())
        self._cache = {}

    def _list(self):
        if os.path.exists(os.path.join(self.root, ".git")):
            out = subprocess.run(
                ["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"],
                check=True, capture_output=True, text=True).stdout.splitlines()
            return {f for f in out if os.path.isfile(os.path.join(self.root, f))}
        found = set()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [d for d in folders if d not in (".git", "build")]
            found |= {os.path.relpath(os.path.join(folder, n), self.root) for n in names}
        return found

    def select(self, *folders, ends=CODE):
        return [f for f in self.files if f.endswith(ends)
                and (not folders or f.startswith(tuple(d + "/" for d in folders)))]

    def text(self, path):
        if path not in self._cache:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
                self._cache[path] = f.read()
        return self._cache[path]

    def code(self, path, strings=False):
        """Without comments; strings too are blank unless asked for."""
        key = (path, strings)
        if key not in self._cache:
            self._cache[key] = blank(self.text(path), strings)
        return self._cache[key]

    def grep(self, regex, paths, strings=False):
        """(path, line number, matched text) of each match in the code of these files."""
        pattern = re.compile(regex)
        for path in paths:
            code = self.code(path, strings)
            for match in pattern.finditer(code):
                yield path, code.count("\n", 0, match.start()) + 1, match.group().strip()

    def functions(self, path):
        """Every function body that stands in our brace style: `{` and `}` alone, on one indent."""
        lines = self.code(path).split("\n")
        for i, line in enumerate(lines):
            if line.strip() != "{" or i == 0:
                continue
            first = i - 1
            while first > 0 and lines[first - 1].strip() and not re.search(
                    r"[;}{]\s*$|^\s*#|:\s*$", lines[first - 1]):
                first -= 1
            head = " ".join(lines[first:i])
            if "(" not in head or re.match(r"\s*(class|namespace|struct|enum|union|extern)\b[^(]*$",
                                           head):
                continue
            end = next((j for j in range(i + 1, len(lines))
                        if re.match(re.escape(line) .replace(r"\{", r"\}"), lines[j])), i)
            name = re.search(r"(\w+)\s*\(", head)
            yield Function(name.group(1), first + 1, end - first + 1, params_of(head))


def params_of(head):
    """Parameters of a function whose head this is."""
    start = head.index("(")
    depth, commas, text = 0, 0, ""
    for c in head[start:]:
        depth += (c == "(") - (c == ")")
        if depth == 0:
            break
        commas += c == "," and depth == 1
        text += c
    return 0 if text.strip("( ") in ("", "void") else commas + 1
