package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where two processors are, one has everything but the switch: the hosts, the controller, and what the kernel does when
// a host sends to the switch.
const (
	HostCPU   = 0
	SwitchCPU = 1
)

// two says that there are processors for both sides. It is asked before Pin changes the answer.
var two = func() bool {
	var set unix.CPUSet
	return unix.SchedGetaffinity(0, &set) == nil && set.IsSet(HostCPU) && set.IsSet(SwitchCPU)
}()

// PollCPU is the processor that a switch which polls may have for itself.
func PollCPU() int {
	if two {
		return SwitchCPU
	}
	return HostCPU
}

// Pin puts every thread of this program on the hosts' processor; threads and processes made later inherit it.
func Pin() error {
	if !two {
		return nil
	}
	var set unix.CPUSet
	set.Set(HostCPU)
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return err
		}
	}
	return err
}

// OnSwitchCPU is a command line that runs on the switch's processor alone, where there are two.
func OnSwitchCPU(path string, args ...string) (string, []string) {
	return on(strconv.Itoa(SwitchCPU), path, args)
}

// OnBothCPUs is a command line that may run on either processor.
func OnBothCPUs(path string, args ...string) (string, []string) {
	return on(fmt.Sprintf("%d,%d", HostCPU, SwitchCPU), path, args)
}

func on(list, path string, args []string) (string, []string) {
	if !two {
		return path, args
	}
	return "taskset", append([]string{"-c", list, path}, args...)
}

// Describe says on what, with what and when something is measured. bin is weir.
func Describe(bin string) (string, error) {
	weir, err := firstLine(bin, "version")
	if err != nil {
		return "", err
	}
	ovs, err := firstLine("ovs-vswitchd", "--version")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s Hosts and controller on processor %d, switch on processor %d. %s; %s; %s. %s.\n",
		machine(), HostCPU, SwitchCPU, weir, runtime.Version(), ovs, time.Now().UTC().Format(time.DateOnly)), nil
}

// DescribeCore is Describe for what uses one core: weir's packages in the module in folder root, and the Open vSwitch
// daemon ovs, if any.
func DescribeCore(root, ovs string) (string, error) {
	peer := "no Open vSwitch"
	if ovs != "" {
		out, err := exec.Command(ovs, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("%s --version: %w", ovs, err)
		}
		peer = strings.Join(strings.Fields(strings.ReplaceAll(string(out), "\n", ", ")), " ")
		peer = strings.TrimSuffix(peer, ",")
	}
	return fmt.Sprintf("%s Each side alone on processor %d. weir %s; %s; %s. %s.\n",
		machine(), SwitchCPU, commit(root), runtime.Version(), peer, time.Now().UTC().Format(time.DateOnly)), nil
}

func machine() string {
	return fmt.Sprintf("Machine: %s, kernel %s, %d processors.", cpuModel(), kernel(), runtime.NumCPU())
}

// commit is that of the module in folder root.
func commit(root string) string {
	version, err := firstLine("git", "-C", root, "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return "unknown" // no repository
	}
	return version
}

func firstLine(path string, args ...string) (string, error) {
	out, err := exec.Command(path, args...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", path, strings.Join(args, " "), err)
	}
	return line, nil
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// BuildWeir compiles the program of the module in folder root into folder dir. It knows the commit it was made from.
func BuildWeir(root, dir string) (string, error) {
	bin := filepath.Join(dir, "weir")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+commit(root), "-o", bin, "./agent/cmd/weir")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}
