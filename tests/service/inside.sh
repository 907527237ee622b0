#!/bin/bash
# Runs in the booted tree, as root: the package installed, started, reloaded, watched, stopped,
# removed. Prints TAP.
set -u
unit=larder.service
count=0
failed=0
check() { # text command...
    local text=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $text"
    else
        failed=$((failed + 1))
        echo "not ok $count - $text"
        systemctl status --no-pager --full $unit 2>&1 | sed 's/^/# /'
        journalctl -u $unit -n 30 --no-pager 2>&1 | sed 's/^/# /'
    fi
}
property() {
    systemctl show -P "$1" $unit
}
is() { # property value
    [ "$(property "$1")" = "$2" ]
}
within() { # seconds command...: true as soon as the command is
    local tries=$(($1 * 10))
    shift
    for ((; tries > 0; tries--)); do
        "$@" && return
        sleep 0.1
    done
    return 1
}
logged() { # text, in the log of the service since $since
    journalctl -q -u $unit --since "$since" -o cat 2>/dev/null | grep -q -- "$1"
}
since=$(date '+%F %T')

systemctl is-system-running --wait >/dev/null
echo "# $(systemctl --version | head -n 1), control groups: $(stat -fc %T /sys/fs/cgroup)"
check "the package installs" \
    env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends /root-test/larder.deb
check "it is started and ready" within 60 is ActiveState active
check "by READY and not by a guess" is Type notify
check "as a user of its own" test "$(ps -o user= -p "$(property MainPID)")" = larder
check "its data directory is closed to others" \
    test "$(stat -c '%U %a' /var/lib/larder)" = "larder 700"
check "node.json names its process" \
    grep -q "\"pid\": $(property MainPID)\b" /var/lib/larder/node.json
check "MemoryHigh is the setting and 64 MiB" is MemoryHigh $((1088 * 1024 * 1024))

# A backup is written by the service, which sees its own directories.
node() {
    larder "$@" --data-dir /var/lib/larder 2>/tmp/node.err >/tmp/node.out
}
said() {
    grep -q -- "$1" /tmp/node.err || { sed 's/^/# /' /tmp/node.err && false; }
}
check "a backup into the state directory" node backup /var/lib/larder/backup
check "is there, and closed to others" \
    test "$(stat -c '%U %a' /var/lib/larder/backup)" = "larder 700"
check "one to where the service may not write fails" eval '! node backup /srv/backup'
check "and says that the service sees only its own directories" said 'a service sees only its own'
check "one below /tmp is not there for others" eval '! node backup /tmp/backup'
check "and says so" said 'a service has a /tmp of its own'
install -d -o larder -g larder -m 0700 /srv/backup
mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nReadWritePaths=/srv/backup\n' >/run/systemd/system/$unit.d/backup.conf
systemctl daemon-reload
check "restarted with a drop-in" systemctl restart $unit
check "the backup goes where it says" node backup /srv/backup/first
check "and is there" test -s /srv/backup/first/manifest

pid=$(property MainPID)
echo 'log-level: debug' >>/etc/larder/larder.yaml
check "reload" systemctl reload $unit
check "the new configuration is applied" within 60 logged 'configuration is applied'
check "it is ready again, with the same process" \
    within 60 eval "is ActiveState active && is MainPID $pid"
echo 'log-level: loud' >>/etc/larder/larder.yaml
systemctl reload $unit
check "a broken file is named with its line" within 60 logged 'larder.yaml:[0-9]'
check "and the old configuration goes on" \
    within 60 eval "is ActiveState active && is MainPID $pid"

mkdir -p /run/systemd/system/$unit.d
printf '[Service]\nWatchdogSec=6\nRestartSec=100ms\n' >/run/systemd/system/$unit.d/short.conf
systemctl daemon-reload
check "a broken file keeps it from starting" eval "! systemctl restart $unit 2>/dev/null"
check "with exit code 2" is ExecMainStatus 2
sleep 1
check "and nobody tries again and again" is NRestarts 0
sed -i '/^log-level:/d' /etc/larder/larder.yaml
systemctl reset-failed $unit
check "mended, it starts" systemctl start $unit
pid=$(property MainPID)
sleep 8
check "the loop feeds the watchdog" is MainPID "$pid"
since=$(date '+%F %T')
kill -STOP "$pid"
check "a process that hangs is replaced" \
    within 60 eval "! is MainPID $pid && ! is MainPID 0 && is ActiveState active"
check "by the watchdog" within 60 eval "journalctl -q --since '$since' -o cat | grep -qi 'watchdog timeout'"

since=$(date '+%F %T')
check "stop" systemctl stop $unit
check "is clean" is Result success
check "with every owner at zero" within 60 logged 'every owner at zero'
check "node.json is gone" test ! -e /var/lib/larder/node.json
check "the package is removed" apt-get -q -y purge larder
check "and its unit with it" eval "! systemctl cat $unit 2>/dev/null"

echo "1..$count"
echo "$((count - failed)) passed, $failed failed"
