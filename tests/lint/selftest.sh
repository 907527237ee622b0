#!/bin/bash
# A test of the test: plants one violation at a time in a copy of the tree and sees to it that the
# check of its kind finds it, and that the copy without it is clean. Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 2
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
lint() {
    python3 tests/lint/lint.py --root "$scratch/tree" --build "$scratch/build" "$@"
}

# The copy is made of what git would commit; plants are undone by taking it again.
fresh() {
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree"
    git ls-files -co --exclude-standard -z -- lib daemon mk tests/lint tests/unit/base README.md .clang-format |
        xargs -0 -I{} sh -c '[ ! -f "{}" ] || echo "{}"' | tar -cf - -T - | tar -xf - -C "$scratch/tree"
}

count=0
failed=0
verdict() { # ok|not-ok text
    count=$((count + 1))
    if [ "$1" = ok ]; then
        echo "ok $count - $2"
    else
        failed=$((failed + 1))
        echo "not ok $count - $2"
        sed 's/^/# /' "$scratch/out"
    fi
}

# planted CHECK PATTERN FILE: standard input is added to FILE, and CHECK must print PATTERN.
planted() {
    local check=$1 pattern=$2 file=$3
    mkdir -p "$(dirname "$scratch/tree/$file")"
    [ ! -e "$scratch/tree/$file" ] || cp "$scratch/tree/$file" "$scratch/saved"
    cat >>"$scratch/tree/$file"
    if ! lint "$check" >"$scratch/out" 2>&1 && grep -q -- "$pattern" "$scratch/out"; then
        verdict ok "$check: $pattern"
    else
        verdict not-ok "$check: $pattern"
    fi
    if [ -e "$scratch/saved" ]; then
        mv "$scratch/saved" "$scratch/tree/$file"
    else
        rm "$scratch/tree/$file"
    fi
}

fresh
checks=$(sed -n '/^@check/{n;s/^def \([a-z_]*\).*/\1/p}' tests/lint/lint.py | grep -v generated)
for check in $checks; do
    if lint "$check" >"$scratch/out" 2>&1; then verdict ok "$check: the tree is clean"; else
        verdict not-ok "$check: the tree is clean"
    fi
done

# Line after line of a function that does nothing, for the checks of length.
lines() {
    for ((i = 0; i < $1; i++)); do echo "    work();"; done
}

planted format 'clang-format' lib/base/plant.c <<<'int  plant( void ){return 1;}'
planted text 'space at the end' lib/base/plant.c <<<'int plant; '
planted text 'a tab' lib/base/plant.c <<<$'\tint plant;'
printf 'int plant;' | planted text 'no newline' lib/base/plant.c
planted cppcheck 'nullPointer\|ninitialized\|uninitvar' lib/base/plant.c <<'C'
int plant(void);
int plant(void)
{
    int *p = 0;
    int value;
    return *p + value;
}
C
planted layers 'base may not include core/loop.h' lib/base/plant.c <<<'#include "core/loop.h"'
planted layers 'net may not include swarm/' lib/net/plant.h <<<'#include "swarm/puller.h"'
planted layers 'codec may not include store/' lib/codec/plant.c <<<'#  include "store/ldb.h"'
planted layers 'daemon may not include net/' daemon/plant.c <<<'#include "net/host.h"'
planted layers 'no line in lib/LAYERS' lib/plants/plant.c <<<'int plant;'
planted libraries '<uv.h> is known to' lib/codec/plant.c <<<'#include <uv.h>'
planted libraries '<openssl/evp.h> is known to' lib/net/plant.c <<<'#include <openssl/evp.h>'
planted libraries '<leveldb/db.h> is known to' lib/store/plant.cc <<<'#include <leveldb/db.h>'
planted libraries 'does not list' lib/net/plant.c <<<'#include <curl/curl.h>'
for call in 'sprintf(a, b)' 'strcpy(a, b)' 'strcat(a, b)' 'gets(a)' 'alloca(9)' 'malloc(9)' \
    'calloc(1, 9)' 'realloc(a, 9)' 'free(a)' 'strdup(a)' 'strndup(a, 9)' 'asprintf(&a, b)' \
    'usleep(9)' 'sleep(9)' 'nanosleep(a, b)' 'pthread_mutex_lock(a)' 'uv_mutex_lock(a)' \
    'pthread_cond_wait(a, b)'; do
    planted banned "plant.c:1: '${call%%(*}'" lib/store/plant.c <<<"    $call;"
done
planted banned "plant.c:1: 'return -1;'" lib/store/plant.c <<<'    return -1;'
planted banned "plant.c:1: 'malloc'" daemon/plant.c <<<'    void *p = malloc(9);'
planted banned "plant.cc:1: 'std::mutex'" lib/store/plant.cc <<<'std::mutex lock;'
planted banned 'MAP_ANON' lib/store/plant.c <<<'    mmap(0, 9, 0, MAP_ANONYMOUS, -1, 0);'
planted banned 'hides a struct' lib/base/plant.h <<<'typedef struct plant plant;'
planted banned 'breaks the TAP' tests/unit/base/plant.c <<<'    skip();'
planted banned 'silences' lib/base/plant.c <<<'#pragma GCC diagnostic ignored "-Wall"'
{ printf 'static void plant(void)\n{\n'; lines 68; echo '}'; } |
    planted length 'plant has 71 lines' lib/base/plant.c
{ printf 'class plant {\n    int run()\n    {\n'; lines 80; printf '    }\n};\n'; } |
    planted length 'run has 83 lines' lib/store/plant.cc
lines 801 | planted length '801 lines, at most 800' lib/base/plant.c
lines 151 | planted length '151 lines, at most 150' lib/base/plant.h
planted length 'plant has 7 parameters' lib/base/plant.c <<'C'
void plant(int a, int b, int c, int (*d)(int, int), int e,
           int f, int g)
{
}
C
planted names "'utils' says nothing" lib/base/utils.c <<<'int plant;'
planted names "'store_helpers' says nothing" lib/store/store_helpers.c <<<'int plant;'
planted names "'common' says nothing" tests/unit/common.h <<<'int plant;'
planted map 'no line for it under' lib/base/plant.c <<<'int plant;'
planted map 'lib/base/plant.c does not exist' lib/README.md <<<$'\n### `base/`\n\n- `plant.c` a plant'
planted map 'not of the form' lib/README.md <<<$'\n### `base/`\n\n- plant'
planted rows 'no code uses the row PLANT' lib/tables/errors.def <<<'ERROR(PLANT, NONE, 1, "plant")'
planted rows 'no code uses the row PLANT' lib/tables/limits.def <<<'LIMIT_FIXED(PLANT, 1, "", "")'
planted rows 'no code uses the row plant_total' lib/tables/metrics.def <<<'COUNTER(plant_total, "")'
# Named like a function that is called everywhere: only METRIC_<name> is a use.
planted rows 'no code uses the row error_set' lib/tables/metrics.def <<<'COUNTER(error_set, "")'
planted rows 'no code uses the row plant' lib/tables/config.def <<<'OPTION(plant, BOOL, NONE)'
planted rows 'no code uses the row plant' lib/tables/owners.def <<<'OWNER(plant, ELASTIC, 1)'
planted limits 'PATH_BYTES is counted as met' lib/base/plant.c <<<'bool b = LIMIT_CHECK(PATH_BYTES, 1);'
planted machine 'does not belong' README.md <<<"see /ro""ot/plant"
planted machine 'does not belong' README.md <<<"as iss""ue #7 says"
planted machine 'does not belong' mk/plant.mk <<<"wget https://pypi"".org/simple"
planted shell 'SC2' mk/plant.sh <<<$'#!/bin/bash\ncd plant\nrm -rf $x/*'
planted tsan 'is neither in mk/tsan.mk' tests/unit/base/test_plant.c <<<'#include "core/work.h"'
planted tsan 'reaches node/node.h' tests/unit/base/test_plant.c <<<'#include "node/admin.h"
#include "node/node.h"'

# The generated file: a generator that prints what the file does not say.
mkdir -p "$scratch/build" "$scratch/tree/conf" "$scratch/tree/daemon"
printf '#!/bin/sh\necho "# new"\n' >"$scratch/build/larder-gen"
chmod +x "$scratch/build/larder-gen"
: >>"$scratch/tree/daemon/gen.c"
echo '# new' >"$scratch/tree/conf/larder.yaml"
if lint generated >"$scratch/out" 2>&1; then verdict ok "generated: a current file"; else
    verdict not-ok "generated: a current file"
fi
planted generated 'stale' conf/larder.yaml <<<'# old'

echo "1..$count"
echo "$((count - failed)) passed, $failed failed"
[ "$failed" = 0 ]
