package guest

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrMissing is wrapped by errors that mean that a program or package which
// the guest is made of cannot be had here: a reason to skip a test.
var ErrMissing = errors.New("the guest cannot be made here")

// modules are what a virtio network card needs, in the order of their needs.
var modules = [...]string{
	"drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko",
	"drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci_modern_dev.ko", "drivers/virtio/virtio_pci.ko",
	"net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
}

// initScript makes the guest obey its serial line: each line is run by the
// shell, and answered with its exit status behind exitMark.
const initScript = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -icanon -onlcr min 1
for m in $(cat /modules); do insmod /$m || echo "insmod $m failed"; done
ip link set lo up
echo ` + readyMark + `
while IFS= read -r line; do
	sh -c "$line" </dev/null
	status=$?; echo; echo "` + exitMark + `$status"
done
poweroff -f
`

const (
	readyMark = "weir-guest-ready"
	exitMark  = "weir-guest-exit="
)

// image finds or makes kernel and initramfs in dir.
func image(ctx context.Context, dir string) (kernel, initramfs string, err error) {
	kernel, initramfs = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initramfs.gz")
	if runtime.GOARCH != "amd64" {
		return "", "", fmt.Errorf("%w: it is made for amd64 alone", ErrMissing)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	tree := filepath.Join(dir, "kernel")
	if _, err := os.Stat(kernel); err != nil {
		if err := unpackKernel(ctx, dir, tree, kernel); err != nil {
			return "", "", err
		}
	}
	b, err := buildInitramfs(tree)
	if err != nil {
		return "", "", err
	}
	return kernel, initramfs, replace(initramfs, b)
}

// replace writes a file whole or not at all: tests may share the directory.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// unpackKernel downloads Debian's kernel package and unpacks it into tree, in a folder of its own until all is there: another
// process may be at the same.
func unpackKernel(ctx context.Context, cache, tree, kernel string) error {
	const meta = "linux-image-cloud-amd64"
	dir, err := os.MkdirTemp(cache, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := command(ctx, dir, "apt-cache", "depends", "--important", meta)
	if err != nil {
		return err
	}
	_, name, ok := strings.Cut(out, "Depends: ")
	if !ok {
		return fmt.Errorf("%w: apt knows no package %s; run apt-get update", ErrMissing, meta)
	}
	name = strings.Fields(name)[0]
	// A mirror that fails is asked again; apt waits for one that is slow.
	if _, err := command(ctx, dir, "apt-get", "-o", "Acquire::Retries=5", "download", name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get download %s left no file in %s", name, dir)
	}
	own := filepath.Join(dir, "tree")
	if _, err := command(ctx, dir, "dpkg-deb", "-x", debs[0], own); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(own, "boot", "vmlinuz-*"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("package %s has no boot/vmlinuz", name)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	if err := os.Rename(own, tree); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return replace(kernel, b) // last: its presence says that all is there
}

// command runs a program in dir and gives its output.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not installed", ErrMissing, name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s %s: %v: %s", ErrMissing, name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// buildInitramfs packs busybox, the modules and the script.
func buildInitramfs(tree string) ([]byte, error) {
	busybox, err := staticBusybox()
	if err != nil {
		return nil, err
	}
	var a archive
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp"} {
		a.dir(d)
	}
	a.add("dev/console", modeChar, nil, 5, 1)
	a.file("bin/busybox", busybox)
	a.file("init", []byte(initScript))
	var order []string
	for _, m := range modules {
		found, err := filepath.Glob(filepath.Join(tree, "lib", "modules", "*", "kernel", m))
		if err != nil || len(found) == 0 {
			continue // built into the kernel
		}
		b, err := os.ReadFile(found[0])
		if err != nil {
			return nil, err
		}
		a.file(filepath.Base(m), b)
		order = append(order, filepath.Base(m))
	}
	a.file("modules", []byte(strings.Join(order, "\n")+"\n"))
	return a.compressed()
}

// staticBusybox finds a busybox that needs no library.
func staticBusybox() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: busybox is not installed (apt-get install busybox-static)", ErrMissing)
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%w: %s needs shared libraries (apt-get install busybox-static)", ErrMissing, path)
		}
	}
	return os.ReadFile(path)
}
