#!/usr/bin/env python3
"""The rules of the tree that a machine can check. Usage: lint.py [--root DIR] [--build DIR] [CHECK...]

Each check is a function that yields findings ("path:line: sentence"). Without names all of them run,
a row each with its seconds; any finding ends the run with exit code 1. selftest.sh plants a violation
of each check and sees to it that it is found.
"""

import argparse
import glob
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from source import CODE, Tree  # noqa: E402

CHECKS = {}
FUNCTION_LINES, FILE_LINES, HEADER_LINES, PARAMS = 70, 800, 150, 6


def check(run):
    CHECKS[run.__name__.replace("_", "-")] = run
    return run


def tool(args, command, files):
    """Findings of an external tool, run over two halves of the files: its lines when it fails."""
    runs = [subprocess.Popen(command + half, cwd=args.root, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
            for half in (files[::2], files[1::2]) if half]
    for run in runs:
        lines = run.communicate()[0].splitlines()
        if run.returncode:
            yield from ([x for x in lines if re.search(r":\d+:|error", x)][:60]
                        or [f"{command[0]} failed"])


@check
def format(tree, args):
    """clang-format agrees with every C and C++ file."""
    yield from tool(args, ["clang-format", "--dry-run", "-Werror"], tree.select())


@check
def text(tree, _args):
    """No trailing space, no tab in C, a newline at the end (.editorconfig)."""
    for path in tree.select(ends=CODE + (".def", ".py", ".sh", ".md", ".proto", ".mk", "Makefile")):
        if path.startswith("tests/data/"):
            continue
        lines = tree.text(path).split("\n")
        if lines[-1]:
            yield f"{path}:{len(lines)}: no newline at the end"
        for i, line in enumerate(lines):
            if line != line.rstrip():
                yield f"{path}:{i + 1}: space at the end of the line"
            if "\t" in line and path.endswith(CODE + (".def", ".py")):
                yield f"{path}:{i + 1}: a tab"


@check
def cppcheck(tree, args):
    """cppcheck finds nothing; what did not change since the last run is not analysed again."""
    folder = os.path.join(os.path.abspath(args.build), "cppcheck")
    os.makedirs(folder, exist_ok=True)
    files = tree.select("lib", "daemon", ends=(".c",))
    if not files:
        return
    listed = os.path.join(folder, "files.txt")
    with open(listed, "w", encoding="utf-8") as f:
        f.write("\n".join(files) + "\n")
    done = subprocess.run(
        ["cppcheck", "-q", "-j2", "--std=c11", "--enable=warning,portability", "--inline-suppr",
         "--error-exitcode=1", "--max-configs=1", "--suppress=missingIncludeSystem",
         "--suppress=preprocessorErrorDirective", f"--cppcheck-build-dir={folder}",
         "--template={file}:{line}: {severity}: {message} [{id}]", "-Ilib", "-DLARDER_JEMALLOC=1",
         f"--suppressions-list={os.path.join(os.path.dirname(__file__), 'cppcheck.txt')}",
         "-D__BYTE_ORDER__=1234", "-D__ORDER_LITTLE_ENDIAN__=1234", f"--file-list={listed}"],
        cwd=args.root, capture_output=True, text=True, check=False)
    if done.returncode:
        yield from (done.stdout + done.stderr).splitlines()


def read_layers(tree):
    layers = {}
    for line in tree.text("lib/LAYERS").splitlines():
        room, below = line.split(":")
        layers[room] = set(below.split())
    return layers


@check
def layers(tree, _args):
    """A room includes only itself and the rooms that lib/LAYERS puts under it."""
    allowed = read_layers(tree)
    for path in tree.select("lib", "daemon", ends=CODE + (".def",)):
        room = path.split("/")[1] if path.startswith("lib/") else "daemon"
        if room not in allowed:
            yield f"{path}:1: the room '{room}' has no line in lib/LAYERS"
            continue
        for p, line, found in tree.grep(r'#\s*include\s+"[^"]+"', [path], strings=True):
            other = found.split('"')[1].split("/")
            if len(other) == 1 or other[0] == "proto" and room != "base":
                continue
            if other[0] != room and other[0] not in allowed[room] and "*" not in allowed[room]:
                yield f"{p}:{line}: {room} may not include {'/'.join(other)} (lib/LAYERS)"


def braces(word):
    """core/{loop,timer}.c -> core/loop.c, core/timer.c"""
    match = re.match(r"(.*)\{(.*)\}(.*)", word)
    return [match[1] + x + match[3] for x in match[2].split(",")] if match else [word]


def read_libraries(tree):
    """Rows of the table of third parties in lib/README.md: header pattern -> files that know it."""
    rows = {}
    for line in tree.text("lib/README.md").splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and re.search(r"`<.*>`", cells[1]):
            files = [f for w in re.findall(r"`([^`]+)`", cells[2]) for f in braces(w)]
            for header in re.findall(r"`<([^`]+)>`", cells[1]):
                rows[header] = files
    return rows


def system_headers():
    names = set()
    for package in ("libc6-dev", "linux-libc-dev"):
        out = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True,
                             check=False).stdout
        names |= {re.sub(r"^/usr/include/(x86_64-linux-gnu/|aarch64-linux-gnu/)?", "", x)
                  for x in out.splitlines()}
    own = glob.glob("/usr/lib/gcc/*/*/include/*.h")
    return names | {os.path.basename(x) for x in own}


@check
def libraries(tree, _args):
    """A third party is known to the files that lib/README.md names, and to no other."""
    rows, system = read_libraries(tree), system_headers()
    if not rows:
        yield "lib/README.md:1: the table of third parties is gone"
    for path, line, found in tree.grep(r"#\s*include\s+<[^>]+>", tree.select("lib", "daemon"), True):
        header = found.split("<")[1].rstrip(">")
        known = [f for h, f in rows.items() if header == h or h.endswith("*")
                 and header.startswith(h[:-1])]
        if known and path.removeprefix("lib/") not in known[0]:
            yield f"{path}:{line}: <{header}> is known to {', '.join(known[0])} alone"
        elif not known and header not in system and not (path.endswith(".cc") and "." not in header):
            yield f"{path}:{line}: <{header}> is of a library that lib/README.md does not list"


BANNED = [
    # what, where it is looked for, where it may stand, why
    (r"\b(v?sprintf|strcpy|strcat|stpcpy|gets|alloca|strtok)\s*\(", ("lib", "daemon", "tests"), (),
     "has no bound"),
    (r"\breturn\s+\(?-1\)?\s*;", ("lib", "daemon"), (), "says nothing: an error is an enum err"),
    (r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup|v?asprintf|aligned_alloc|"
     r"posix_memalign|[mrx]allocx|dallocx|sdallocx|mallctl\w*|nallocx)\s*\(", ("lib", "daemon"),
     ("lib/base/mem.c",), "takes memory past the owners (lib/base/mem.h)"),
    (r"\bMAP_ANON\w*", ("lib", "daemon"), ("lib/base/pages.c",), "belongs to lib/base/pages.c"),
    (r"\b(u?sleep|nanosleep|clock_nanosleep|thrd_sleep|sleep_for)\s*\(", ("lib", "daemon"),
     ("lib/core/",), "sleeps; the loop has timers"),
    (r"\b(pthread_(mutex|cond|rwlock|spin)_\w+|uv_(mutex|cond|rwlock|sem)_\w+|mtx_lock)\s*\(|"
     r"\bstd::(mutex|lock_guard|unique_lock|condition_variable)\b", ("lib", "daemon"),
     ("lib/core/", "lib/store/ldb.cc"), "locks; the loop thread owns all state"),
    (r"(?m)^typedef\s+(struct|enum|union)\b[^(;]*(\{|;)", ("lib", "daemon", "tests"), (),
     "hides a struct; typedefs are for function types"),
    (r"\bskip\s*\(\s*\)", ("tests",), (), "breaks the TAP output; a test runs or is not there"),
    (r"#\s*pragma\s+GCC\s+diagnostic\s+ignored", ("lib", "daemon"), (), "silences a warning"),
]


@check
def banned(tree, _args):
    """Calls that have no bound, no owner, or no place on the loop."""
    for regex, folders, exempt, why in BANNED:
        files = [f for f in tree.select(*folders) if not f.startswith(exempt or ("-",))]
        for path, line, found in tree.grep(regex, files):
            yield f"{path}:{line}: '{found.rstrip('( ')}' {why}"


# Callbacks whose parameters somebody else counts.
DICTATED = {("lib/net/http_server.c", "on_access")}  # MHD_AccessHandlerCallback


@check
def length(tree, _args):
    """Functions of 70 lines and 6 parameters, files of 800, headers of 150."""
    for path in tree.select():
        lines = tree.text(path).count("\n")
        most = HEADER_LINES if path.endswith(".h") else FILE_LINES
        if lines > most:
            yield f"{path}:{lines}: {lines} lines, at most {most}"
        for f in tree.functions(path):
            if f.lines > FUNCTION_LINES:
                yield f"{path}:{f.line}: {f.name} has {f.lines} lines, at most {FUNCTION_LINES}"
            if f.params > PARAMS and (path, f.name) not in DICTATED:
                yield f"{path}:{f.line}: {f.name} has {f.params} parameters, at most {PARAMS}"


@check
def names(tree, _args):
    """A file is named by what it does."""
    for path in tree.files:
        stem = os.path.basename(path).split(".")[0]
        if re.search(r"(^|_)(utils?|common|helpers?|misc)$", stem) and not path.startswith("tests/data"):
            yield f"{path}:1: '{stem}' says nothing: name the file by what it does"


@check
def map(tree, _args):
    """lib/README.md names each file of lib/, under its room, and only what exists."""
    named, room = {}, None
    for i, line in enumerate(tree.text("lib/README.md").split("\n")):
        head = re.match(r"### `(\w+)/`", line)
        item = re.match(r"- `([\w.]+)` \S", line)
        if line.startswith("#"):
            room = head.group(1) if head else None
        elif room and item:
            named[f"lib/{room}/{item.group(1)}"] = i + 1
        elif room and line.startswith("- "):
            yield f"lib/README.md:{i + 1}: not of the form: - `file.c` what it is"
    for path, line in named.items():
        if path not in tree.files:
            yield f"lib/README.md:{line}: {path} does not exist"
    for path in tree.select("lib", ends=CODE + (".def",)):
        stem = path.rsplit(".", 1)[0]
        if not {path, stem + ".c", stem + ".cc"} & set(named):
            yield f"{path}:1: lib/README.md has no line for it under `{path.split('/')[1]}/`"


ROW = re.compile(r"(?m)^([A-Z][A-Z_]*)\(\s*(\w+)\s*[,)]")
NOT_ROWS = ("CHOICES", "SECTION", "NEEDS", "DESCRIPTORS", "LABEL", "LABEL_VALUES", "BUCKETS")
# How code refers to a row of a table: the first group is the row's name. What is not listed here is
# referred to by an identifier that ends in its name (STORE_reserve), or by its name as a string.
USES = {
    "config": r"(?:->|\.)\s*(\w+)",
    "errors": r"\bERR_(\w+)",
    "limits": r"\bLIMIT_(?:ID_|CHECK\(\s*|HIT\(\s*)?(\w+)",
    "metrics": r"\bMETRIC_([a-z]\w*)",
}
USES_OTHER = r'\b[A-Za-z]\w*?_(?=(\w+))|(?i:owner|store|protocol)\w*\([^;"]*"(\w+)"'


def listed(tree, path):
    """The entries of a list of exceptions: "name: reason" lines."""
    lines = tree.text(path).splitlines() if path in tree.files else []
    return {x.split(":")[0].strip() for x in lines if x and not x.startswith("#")}


def used_names(regex, texts):
    return {name.lower() for text in texts for found in re.findall(regex, text)
            for name in (found if isinstance(found, tuple) else (found,)) if name}


@check
def rows(tree, _args):
    """Every row of lib/tables/*.def is used by code, or by a row of another table."""
    files = [f for f in tree.select("lib", "daemon", ends=CODE) if f != "lib/base/error.c"]
    texts = [tree.code(f, strings=True) for f in files]
    tables = tree.select("lib/tables", ends=(".def",))
    for path in tables:
        table = os.path.basename(path)[:-4]
        used = used_names(USES.get(table, USES_OTHER),
                          texts + [tree.code(t) for t in tables if t != path])
        for match in ROW.finditer(tree.code(path)):
            macro, row = match.groups()
            if macro in NOT_ROWS or (table, row) == ("errors", "OK"):
                continue
            if row.lower() not in used:
                line = tree.code(path).count("\n", 0, match.start()) + 1
                yield f"{path}:{line}: no code uses the row {row}"


@check
def limits(tree, _args):
    """A limit that code counts as met is a SOURCE row, which the suite must hit."""
    table = "lib/tables/limits.def"
    counted = used_names(r"\b(?:LIMIT_CHECK|LIMIT_HIT|FRAME_LIMIT)\(\s*(\w+)",
                         [tree.code(f) for f in tree.select("lib", "daemon", ends=CODE)])
    for match in re.finditer(r"(?m)^LIMIT_FIXED\(\s*(\w+)", tree.code(table)):
        if match.group(1).lower() in counted:
            line = tree.code(table).count("\n", 0, match.start()) + 1
            yield f"{table}:{line}: {match.group(1)} is counted as met, so it is a LIMIT_SOURCE"


MACHINE = re.compile(r"(^|[^A-Za-z0-9_./-])/(work|farm|root)/[A-Za-z.]"
                     r"|registry[.]npmjs|proxy[.]golang|files[.]pythonhosted|pypi[.]org"
                     r"|(index|static)[.]crates|deb[.]debian[.]org|repo1?[.]maven"
                     r"|(?i:\bissue #?[0-9])")


@check
def machine(tree, _args):
    """No path of one machine, no registry host, no number of a tracker in the tree."""
    for path in tree.files:
        if path.startswith("tests/data/") or path.startswith("tests/fuzz/corpus/"):
            continue
        for i, line in enumerate(tree.text(path).split("\n")):
            found = MACHINE.search(line)
            if found:
                yield f"{path}:{i + 1}: '{found.group().strip()}' does not belong into the tree"


def reached(tree, path, folders):
    """Every header of the tree that a file includes, and those include in turn."""
    seen, todo = set(), [path]
    while todo:
        for name in re.findall(r'#\s*include\s+"([^"]+)"', tree.code(todo.pop(), strings=True)):
            found = [f"{d}/{name}" for d in folders if f"{d}/{name}" in tree.files]
            todo += [f for f in found if f not in seen]
            seen.update(found)
    return seen


@check
def tsan(tree, _args):
    """A unit test that can put work on threads runs under ThreadSanitizer too, or says why not."""
    named = set(re.findall(r"[\w/]+/test_\w+", tree.text("mk/tsan.mk")))
    spared = listed(tree, "tests/lint/tsan-spared.txt")
    for path in tree.select("tests/unit", ends=(".c",)):
        name = path.removeprefix("tests/unit/").removesuffix(".c")
        if not os.path.basename(name).startswith("test_") or name in named | spared:
            continue
        threads = reached(tree, path, ("lib", "tests/unit", os.path.dirname(path))) & {
            "lib/core/work.h", "lib/node/node.h"}
        for header in sorted(threads):
            yield (f"{path}:1: reaches {header.removeprefix('lib/')} and is neither in mk/tsan.mk "
                   "nor, with a reason, in tests/lint/tsan-spared.txt")


@check
def shell(tree, args):
    """shellcheck finds nothing in the scripts."""
    scripts = [f for f in tree.files if f.endswith(".sh") or f == ".ci/run"]
    yield from tool(args, ["shellcheck", "-S", "warning", "-f", "gcc"], scripts)


@check
def generated(tree, args):
    """What is generated from the rows and checked in is what the rows say."""
    if "daemon/gen.c" not in tree.files:
        return
    generator = os.path.join(args.build, "larder-gen")
    for path, what in (("conf/larder.yaml", "yaml"),):
        done = subprocess.run([generator, what], capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"{path}:1: {generator} {what} failed"
        elif path not in tree.files:
            yield f"{path}:1: missing: {generator} {what} > {path}"
        elif done.stdout != tree.text(path):
            yield f"{path}:1: stale: {generator} {what} > {path}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=".")
    parser.add_argument("--build", default="build")
    parser.add_argument("check", nargs="*")
    args = parser.parse_args()
    unknown = [c for c in args.check if c not in CHECKS]
    if unknown:
        sys.exit(f"lint: no check is named {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    tree = Tree(args.root)
    failed = 0
    for name in args.check or CHECKS:
        start = time.monotonic()
        findings = list(CHECKS[name](tree, args))
        failed += bool(findings)
        verdict = f"{len(findings)} found" if findings else "ok"
        print(f"lint {name:10} {time.monotonic() - start:6.1f} s  {verdict}", flush=True)
        for finding in findings:
            print(f"  {finding}", flush=True)
    return 1 if failed else 0


sys.exit(main())
