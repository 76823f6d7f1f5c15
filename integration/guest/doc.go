// Package guest boots a small Linux in qemu for integration tests: Debian's
// kernel for clouds, and an initramfs with busybox that does what it is told on
// its serial line. Software emulation is enough; no privilege is needed, and
// nothing from the network but apt's packages:
//
//	qemu-system-x86    the machine
//	busybox-static     the guest's whole user space
//	linux-image-cloud-amd64   downloaded and unpacked, never installed; of the suite that Config names, by apt lists of its own
//
//	Start -> image.go: kernel, fetched once and kept in a directory; initramfs, made for each machine
//	      -> qemu with the given -netdev back-ends, each a virtio card eth0, eth1, ...
//	Run   -> one line to the guest's shell; output and exit status come back
//	Close -> the machine is gone
//
// # Concurrency
//
// One Run at a time. Close may be called by anyone, at any time.
package guest
