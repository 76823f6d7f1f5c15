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
	"slices"
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

// image finds or makes the kernel in dir, and the initramfs beside it, which is to be removed when the machine has it.
func image(ctx context.Context, dir string, c *Config) (kernel, initramfs string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", "", fmt.Errorf("%w: it is made for amd64 alone", ErrMissing)
	}
	dir = filepath.Join(dir, c.Suite)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	tree, kernel := filepath.Join(dir, "kernel"), filepath.Join(dir, "vmlinuz")
	if _, err := os.Stat(kernel); err != nil {
		if err := unpackKernel(ctx, c.Suite, dir, tree, kernel); err != nil {
			return "", "", err
		}
	}
	b, err := buildInitramfs(tree, c.Files)
	if err != nil {
		return "", "", err
	}
	f, err := os.CreateTemp("", "weir-guest-*.gz") // of this machine alone: another may be given other files
	if err != nil {
		return "", "", err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
	}
	return kernel, f.Name(), err
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

// unpackKernel downloads Debian's kernel and unpacks it into tree, in a folder of its own until all is there: another
// process may be at the same.
func unpackKernel(ctx context.Context, suite, cache, tree, kernel string) error {
	dir, err := os.MkdirTemp(cache, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options, err := suiteOptions(ctx, suite, dir)
	if err != nil {
		return err
	}
	names, err := kernelPackages(ctx, options, dir)
	if err != nil {
		return err
	}
	// A mirror that fails is asked again; apt waits for one that is slow.
	arguments := slices.Concat(options, []string{"-o", "Acquire::Retries=5", "download"}, names)
	if _, err := command(ctx, dir, "apt-get", arguments...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) == 0 {
		return fmt.Errorf("apt-get download %s left no file in %s", strings.Join(names, " "), dir)
	}
	own := filepath.Join(dir, "tree")
	for _, deb := range debs {
		if _, err := command(ctx, dir, "dpkg-deb", "-x", deb, own); err != nil {
			return err
		}
	}
	b, err := first(own, "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("no kernel is in %s", strings.Join(names, " "))
	}
	if err := os.Rename(own, tree); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return replace(kernel, b) // last: its presence says that all is there
}

// suiteOptions has apt know one suite of Debian's archive alone, in dir: the machine's own lists stay as they are, and
// nobody has to be root. None for the suites that it knows anyway.
func suiteOptions(ctx context.Context, suite, dir string) (options []string, err error) {
	if suite == "" {
		return nil, nil
	}
	list := filepath.Join(dir, "sources.list")
	line := "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian " + suite + " main\n"
	if err := os.WriteFile(list, []byte(line), 0o600); err != nil {
		return nil, err
	}
	for _, o := range []string{"Dir::Etc::sourcelist=" + list, "Dir::Etc::sourceparts=-", "Dir::State=" + dir, "Dir::Cache=" + dir,
		"Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "APT::Sandbox::User=root"} {
		options = append(options, "-o", o)
	}
	_, err = command(ctx, dir, "apt-get", append(options, "-o", "Acquire::Retries=5", "-o", "APT::Update::Error-Mode=any", "update")...)
	return options, err
}

// kernelPackages are the packages in which a kernel and its modules are: one, or since Debian 14 one of each.
func kernelPackages(ctx context.Context, options []string, dir string) ([]string, error) {
	depends := func(name string) ([]string, error) {
		out, err := command(ctx, dir, "apt-cache", slices.Concat(options, []string{"depends", "--important", name})...)
		var all []string
		for _, line := range strings.Split(out, "\n") {
			if _, name, ok := strings.Cut(line, "Depends: "); ok {
				all = append(all, name)
			}
		}
		return all, err
	}
	const meta = "linux-image-cloud-amd64"
	names, err := depends(meta)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(names, func(s string) bool { return strings.HasPrefix(s, "linux-image-") })
	if i < 0 {
		return nil, fmt.Errorf("%w: apt knows no package %s; run apt-get update", ErrMissing, meta)
	}
	all := []string{names[i]}
	more, err := depends(names[i])
	for _, name := range more {
		if strings.HasPrefix(name, "linux-binary-") || strings.HasPrefix(name, "linux-modules-") {
			all = append(all, name)
		}
	}
	return all, err
}

// first reads the first file that one of the patterns finds below a folder; nil if there is none.
func first(tree string, patterns ...string) ([]byte, error) {
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(tree, p))
		if err != nil {
			return nil, err
		}
		if len(found) != 0 {
			return os.ReadFile(found[0])
		}
	}
	return nil, nil
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

// buildInitramfs packs busybox, the modules, the script and files.
func buildInitramfs(tree string, files map[string]string) ([]byte, error) {
	busybox, err := staticBusybox()
	if err != nil {
		return nil, err
	}
	var a archive
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp", "run"} {
		a.dir(d)
	}
	a.add("dev/console", modeChar, nil, 5, 1)
	a.file("bin/busybox", busybox)
	a.file("init", []byte(initScript))
	for name, from := range files {
		b, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		a.file(name, b)
	}
	var order []string
	for _, m := range modules {
		for _, packed := range []string{"", ".xz"} { // insmod unpacks it
			b, err := first(tree, "lib/modules/*/kernel/"+m+packed, "usr/lib/modules/*/kernel/"+m+packed)
			if err != nil {
				return nil, err
			}
			if b == nil {
				continue // built into the kernel
			}
			name := filepath.Base(m) + packed
			a.file(name, b)
			order = append(order, name)
		}
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
