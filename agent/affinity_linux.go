// Slow path: on which processors threads of this process run, by Linux.

package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// affinity is where the threads of this process run that do not poll.
type affinity struct {
	usual *unix.CPUSet                            // as it was before some processors were given to polling; nil: they are not
	move  func(thread int, to *unix.CPUSet) error // nil: as the system does
}

// begin comes before the first of n threads is bound.
func (a *affinity) begin(n int) error {
	if n == 0 || a.usual != nil {
		return nil
	}
	usual := new(unix.CPUSet)
	if err := unix.SchedGetaffinity(0, usual); err != nil {
		return fmt.Errorf("asking for the processors of this process: %w", err)
	}
	a.usual = usual
	return nil
}

// leave leaves the processors to the pollers: all other threads use the rest. If there is no rest, they share.
func (a *affinity) leave(cpus []int, list []*poller) error {
	if a.usual == nil {
		return nil
	}
	rest := *a.usual
	for _, n := range cpus {
		rest.Clear(n)
	}
	if rest.Count() == 0 {
		rest = *a.usual
	}
	move := a.move
	if move == nil {
		move = unix.SchedSetaffinity
	}
	return moveThreads(move, &rest, func(tid int) bool {
		return slices.ContainsFunc(list, func(q *poller) bool { return q.tid.Load() == int64(tid) })
	})
}

// end comes after the last poller.
func (a *affinity) end() { a.usual = nil }

// undo comes after a leave that failed: all threads run again where they did, but for the pollers that there were.
func (a *affinity) undo(before affinity, list []*poller) {
	_ = a.leave(cpusOf(list), list)
	*a = before
}

// moveThreads has all threads run on these processors but those that are bound. A thread inherits from the one that makes
// it, so after a round without a change there is none left.
func moveThreads(move func(tid int, to *unix.CPUSet) error, to *unix.CPUSet, bound func(tid int) bool) error {
	for changed := true; changed; {
		changed = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("listing the threads of this process: %w", err)
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			var now unix.CPUSet
			if err != nil || bound(tid) || unix.SchedGetaffinity(tid, &now) != nil || now == *to {
				continue
			}
			switch err := move(tid, to); {
			case errors.Is(err, unix.ESRCH): // it has ended
			case err != nil:
				return fmt.Errorf("moving a thread to other processors: %w", err)
			default:
				if unix.SchedGetaffinity(tid, &now) == nil && now == *to { // else there is no use in trying again
					changed = true
				}
			}
		}
	}
	return nil
}

// bindThread binds the calling thread to a processor.
func bindThread(cpu int) (tid int, err error) {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return 0, explainCPU("/sys/devices/system/cpu", cpu, err)
	}
	return unix.Gettid(), nil
}

// rebind binds the calling thread, if it is another one than before. (If that fails, it is tried again the next time.)
func (q *poller) rebind() {
	if int64(unix.Gettid()) == q.tid.Load() {
		return
	}
	if tid, err := bindThread(q.cpu); err == nil {
		q.tid.Store(int64(tid))
	}
}

// explainCPU says why a thread cannot be bound to a processor. It is called on such a thread, which ends then.
func explainCPU(sys string, cpu int, err error) error {
	present, online := readCPUs(filepath.Join(sys, "present")), readCPUs(filepath.Join(sys, "online"))
	switch {
	case present == nil || online == nil:
	case !slices.Contains(present, cpu):
		return fmt.Errorf("there is no processor %d: this machine has %s", cpu, cpuText(present))
	case !slices.Contains(online, cpu):
		return fmt.Errorf("processor %d is switched off: those at work are %s (echo 1 > %s/cpu%d/online switches it on)", cpu, cpuText(online), sys, cpu)
	case errors.Is(err, unix.EINVAL):
		if may := allowedCPUs(); may != nil {
			return fmt.Errorf("this process may not use processor %d, only %s: its control group has no others (cpuset.cpus there)", cpu, cpuText(may))
		}
	}
	return fmt.Errorf("binding a thread to processor %d: %w", cpu, err)
}

// readCPUs reads a file that lists processors; nil: it could not.
func readCPUs(file string) (list []int) {
	text, err := os.ReadFile(file)
	if err != nil || setCPUs(&list, strings.TrimSpace(string(text))) != nil {
		return nil
	}
	return list
}

// allowedCPUs are those that the calling thread may be bound to: the kernel takes from a wish what it allows.
func allowedCPUs() (list []int) {
	var all, set unix.CPUSet
	for n := range mostCPU + 1 {
		all.Set(n)
	}
	if unix.SchedSetaffinity(0, &all) != nil || unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for n := range mostCPU + 1 {
		if set.IsSet(n) {
			list = append(list, n)
		}
	}
	return list
}
