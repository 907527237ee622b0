#!/bin/bash
# What a service manager hears over the life of a node, from a start to a stop with a reload between.
# shellcheck disable=SC2154 # tap.sh sets them
. "$(dirname "$0")/tap.sh"

cat >"$scratch/manager.py" <<'END'
import os, re, signal, socket, subprocess, sys

larder, scratch = sys.argv[1:]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(scratch + "/notify")
manager.settimeout(60)
environment = {"HOME": scratch, "NOTIFY_SOCKET": scratch + "/notify", "WATCHDOG_USEC": "400000"}
node = subprocess.Popen([larder, "start", "--data-dir=" + scratch + "/data", "--http-addr=127.0.0.1:0"], env=environment,
                        stderr=open(scratch + "/log", "w"))

def hear_until(wanted):
    heard = []
    while not heard or heard[-1] != wanted:
        text = manager.recv(4096).decode().strip()
        text = re.sub(r"USEC=\d+", "USEC=N", text).replace("\n", " ")
        heard.append(text)
    told = [x for x in heard if not x.startswith("STATUS") and x != "WATCHDOG=1"]
    return told, heard.count("WATCHDOG=1")

print("start:", *hear_until("READY=1")[0])
file = os.path.exists(scratch + "/data/node.json")
print("node.json is there:", file)
print("watchdog:", hear_until("WATCHDOG=1")[1] + hear_until("WATCHDOG=1")[1])
node.send_signal(signal.SIGHUP)
print("reload:", *hear_until("READY=1")[0])
node.send_signal(signal.SIGTERM)
print("stop:", *hear_until("STOPPING=1")[0])
print("exit code:", node.wait(60))
END
out=$(timeout 300 python3 "$scratch/manager.py" "$larder" "$scratch" 2>&1)
is "what it hears" "$out" "start: READY=1
node.json is there: True
watchdog: 2
reload: RELOADING=1 MONOTONIC_USEC=N READY=1
stop: STOPPING=1
exit code: 0"
done_testing
