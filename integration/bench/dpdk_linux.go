package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// DPDKDaemon is where Debian's openvswitch-switch-dpdk keeps its ovs-vswitchd. It is started by its path: which program
// the name ovs-vswitchd means stays as the system has it.
const DPDKDaemon = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

// dpdkMemory is what it takes of huge pages: its buffers for 262,144 frames are most of it.
const (
	dpdkMemory = 1024 // MiB
	hugePages  = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	sparePages = 64
)

// DPDK is a private Open vSwitch that looks at memory and touches no device: port 1 is plugged in with a source of
// frames, port 2 forgets what it is given. One polling thread does all the forwarding, on the switch's processor; while
// nothing is plugged in it sleeps.
type DPDK struct {
	*OVS
	giveBack func()
}

// NewDPDK starts one and waits until it has called its controller. Close ends it; l is to be closed after that.
func NewDPDK(ctx context.Context, l *lab.Lab, name string) (*DPDK, error) {
	giveBack, err := takePages(dpdkMemory/2 + sparePages)
	if err != nil {
		return nil, err
	}
	d := &DPDK{giveBack: giveBack}
	if d.OVS, err = NewOVS(ctx, l, name, false); err == nil {
		err = d.start(ctx)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *DPDK) start(ctx context.Context) error {
	d.Env = append(d.Env, "RUNTIME_DIRECTORY="+d.Lab.Dir()) // DPDK's own; else it leaves a folder in /var/run
	settings := []string{"--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
		`other_config:dpdk-extra="--in-memory --no-pci --no-telemetry"`, // no file, device or socket but our own
		fmt.Sprintf("other_config:dpdk-socket-mem=%d", dpdkMemory),
		fmt.Sprintf("other_config:dpdk-lcore-mask=%#x", 1<<HostCPU),
		fmt.Sprintf("other_config:pmd-cpu-mask=%#x", 1<<SwitchCPU),
		"other_config:min-revalidate-pps=0", "other_config:max-idle=600000", // see KeepFlows
	}
	if err := d.Vsctl(ctx, settings...); err != nil {
		return err
	}
	path, args := OnBothCPUs(DPDKDaemon, "unix:"+d.file("db.sock"), "--disable-system", "--unixctl="+d.file("v.ctl"),
		"-vconsole:err", "-vsyslog:off", "-vfile:off", "--no-chdir")
	if err := d.OVS.start(path, args...); err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, d.Proc.Output())
	}
	if err := d.listen(); err != nil {
		return err
	}
	if err := d.Vsctl(ctx, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=secure", "protocols=OpenFlow13",
		"--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dpdk", "ofport_request=2", "options:dpdk-devargs=net_null1,size=64,no-rx=1",
		"--", "set-controller", "br0", d.target(), "--", "set", "controller", "br0", "connection-mode=out-of-band", "inactivity_probe=3600000"); err != nil {
		return fmt.Errorf("%w\n%s", err, d.Proc.Output())
	}
	return d.Accept()
}

// ready waits until the kernel has given it its memory, each byte of which is cleared first.
func (d *DPDK) ready(ctx context.Context) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		err := d.Vsctl(ctx, "wait-until", "Open_vSwitch", ".", "dpdk_initialized=true")
		if err == nil || ctx.Err() != nil || !d.Proc.Running() || time.Now().After(end) {
			return err
		}
	}
}

// Close ends the daemon and gives the huge pages back.
func (d *DPDK) Close() {
	if d.OVS != nil {
		if d.Client != nil {
			d.NC.Close()
		}
		if d.Proc != nil {
			d.Proc.Stop()
		}
	}
	d.giveBack()
}

// Plug makes a device of DPDK's port 1; its frames come at once.
func (d *DPDK) Plug(ctx context.Context, device string) error {
	if err := d.KeepFlows(ctx); err != nil {
		return err
	}
	return d.Vsctl(ctx, "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dpdk", "ofport_request=1", "options:dpdk-devargs="+device)
}

// Unplug takes it away, and all that was known of its flows.
func (d *DPDK) Unplug(ctx context.Context) error {
	if err := d.Vsctl(ctx, "--if-exists", "del-port", "br0", "p1"); err != nil {
		return err
	}
	_, err := d.Appctl(ctx, "dpctl/del-flows")
	return err
}

// KeepFlows makes it ready to keep as many flows as it ever would, 200,000. By itself its limit begins at ten thousand,
// grows by a thousand each time it has looked through what it keeps, and falls where that takes long: where others use
// the machine too, it may never keep what it is measured with. For the same reason it is told from the start to let go of
// no flow for having few frames.
func (d *DPDK) KeepFlows(ctx context.Context) error {
	_, err := d.Appctl(ctx, "upcall/set-flow-limit", "200000")
	return err
}

// Appctl asks the daemon something.
func (d *DPDK) Appctl(ctx context.Context, args ...string) (string, error) {
	return d.Run(ctx, "ovs-appctl", append([]string{"-T", "20", "-t", d.file("v.ctl")}, args...)...)
}

// Worked is the processor time of the polling thread.
func (d *DPDK) Worked() (time.Duration, error) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", d.Proc.PID()))
	for _, task := range tasks {
		name, _ := os.ReadFile(filepath.Join(task, "comm"))
		if !strings.HasPrefix(string(name), "pmd-") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		return time.Duration(ns), err
	}
	return 0, errors.New("no polling thread in Open vSwitch")
}

// takePages asks the kernel for n more huge pages than there are, until giveBack is called or this program has ended,
// however it ends: a shell waits for that.
func takePages(n int) (giveBack func(), err error) {
	had, err := readPages()
	if err != nil {
		return nil, fmt.Errorf("huge pages: %w", err)
	}
	keeper := exec.Command("sh", "-c", `read -r word; echo "$0" >"$1"`, strconv.Itoa(had), hugePages)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not meant for it
	end, err := keeper.StdinPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		return nil, err
	}
	giveBack = func() {
		end.Close()
		_ = keeper.Wait()
	}
	err = os.WriteFile(hugePages, []byte(strconv.Itoa(had+n)), 0)
	got, readErr := readPages()
	if err = errors.Join(err, readErr); err == nil && got < had+n {
		err = fmt.Errorf("%d of 2 MiB are needed, the kernel has %d left", n, got-had)
	}
	if err != nil {
		giveBack()
		return nil, fmt.Errorf("huge pages: %w", err)
	}
	return giveBack, nil
}

func readPages() (int, error) {
	text, err := os.ReadFile(hugePages)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
