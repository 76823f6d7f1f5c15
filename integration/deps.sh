#!/bin/sh
# Looks for the programs that the tests compare weir with. As root on Debian it installs what is missing; elsewhere it
# says so, and the tests that need them skip. With CI=true nothing may be missing.
# "deps.sh dpdk" looks for what only make bench-engine measures weir beside. It leaves ovs-vswitchd the program that it was.
set -u

# One line for each: what must work, and the Debian package that has it.
wanted() {
	[ "$what" = dpdk ] && cat <<-'LIST' && return
		command -v ovs-vswitchd|openvswitch-switch
		test -x /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk|openvswitch-switch-dpdk
		dpkg -s librte-net-null23 librte-net-pcap23 librte-bus-vdev23 librte-mempool-ring23|librte-net-null23 librte-net-pcap23 librte-bus-vdev23 librte-mempool-ring23
	LIST
	cat <<-'LIST'
		command -v ovs-vswitchd && command -v ovs-ofctl|openvswitch-switch
		/usr/bin/python3 -c "import os_ken"|python3-os-ken
		/usr/bin/python3 -c "import scapy"|python3-scapy
		command -v mn && command -v iperf|mininet iperf
		command -v killall|psmisc
		command -v pgrep|procps
		command -v tcpdump|tcpdump
		command -v tshark|tshark
		command -v iperf3|iperf3
		command -v ethtool|ethtool
		command -v openssl|openssl
		command -v curl|curl
		command -v ping|iputils-ping
		command -v ip|iproute2
		command -v gcc && test -e /usr/include/stdlib.h|gcc libc6-dev
		test -e /usr/include/pcap.h|libpcap-dev
		command -v qemu-system-x86_64|qemu-system-x86
		command -v busybox|busybox-static
	LIST
}

missing() {
	wanted | while IFS='|' read -r check packages; do
		sh -c "$check" >/dev/null 2>&1 || printf '%s ' $packages
	done
}

what=${1:-tests}
PATH=$PATH:/usr/sbin:/sbin
vswitchd=$(readlink -e /usr/sbin/ovs-vswitchd || true)
need=$(missing)
# The guest of integration/guest is booted with a kernel that apt downloads, so apt must know what there is.
kernel() { apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; }
[ -z "$need" ] && { [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || kernel; } && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing by apt: ${need:-nothing, only asking what there is}"
	export DEBIAN_FRONTEND=noninteractive
	apt() { apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"; }
	log=$(mktemp)
	# A mirror may fail for a moment, and a machine that has just started may be updating itself: another try, a bit later.
	for pause in 5 15 30 60 0; do
		: >"$log"
		apt update >>"$log" 2>&1
		# shellcheck disable=SC2086
		[ -z "$need" ] || apt install -y --no-install-recommends $need >>"$log" 2>&1
		need=$(missing)
		[ -z "$need" ] && kernel && break
		echo "apt has not got all: ${need:-linux-image-cloud-amd64 is unknown}. The end of what it said:"
		tail -n 20 "$log"
		[ "$pause" = 0 ] || { echo "another try in $pause s" && sleep "$pause"; }
	done
	rm -f "$log"
	# Debian's own priorities keep it so; should they ever change, the choice that was made is restored.
	if [ "$what" = dpdk ] && [ -n "$vswitchd" ] && [ "$(readlink -f /usr/sbin/ovs-vswitchd)" != "$vswitchd" ]; then
		update-alternatives --set ovs-vswitchd "$vswitchd"
	fi
	[ -z "$need" ] && exit 0
fi

echo "missing: $need"
if [ "$what" = dpdk ]; then
	echo "weir's engine is measured alone (as root on Debian, integration/deps.sh dpdk installs its peer)"
	exit 0
fi
if [ "${CI:-}" = true ]; then
	echo "with CI=true every test must run: install these packages" >&2
	exit 1
fi
echo "the tests that need them will skip (as root on Debian, make test installs them)"
