// Slow path: which processors are given to polling, and what is left to the other threads.

package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// polling is who gives processors of this process to polling: on which of them its threads run, and how many goroutines at a
// time, can only be one's to say.
var polling atomic.Pointer[pollers]

var errOtherPolls = errors.New("another Agent of this process gives processors to polling already, and one alone may: end it, or have it take its poll-cpus back")

// set gives these processors to polling, and back those that were before. After an error all is as it was.
func (ps *pollers) set(cpus []int) error {
	ps.binding.Lock()
	defer ps.binding.Unlock()
	err := ps.exchange(cpus)
	if err != nil {
		err = fmt.Errorf("poll-cpus: %w", err)
	}
	if n := ps.count(); n > 0 {
		ps.holdProcs(n + 1)
	} else {
		ps.freeProcs()
		polling.CompareAndSwap(ps, nil)
	}
	return err
}

// exchange has pollers on these processors take over from those there are. binding is held.
func (ps *pollers) exchange(cpus []int) error {
	if len(cpus) > 0 && !polling.CompareAndSwap(nil, ps) && polling.Load() != ps {
		return errOtherPolls
	}
	before, old := ps.owner, ps.all()
	err := ps.owner.begin(len(cpus))
	var list []*poller
	for i := 0; i < len(cpus) && err == nil; i++ {
		var q *poller
		if q, err = ps.start(cpus[i]); err == nil {
			list = append(list, q)
		}
	}
	if err != nil {
		stopAll(list)
		ps.owner = before
		return err
	}
	if len(list) > 0 {
		ps.holdProcs(max(len(old), len(list)) + 1) // until replace there are both, and after an error the old ones go on
	}
	if err = ps.owner.leave(cpus, slices.Concat(list, old)); err != nil {
		stopAll(list)
		ps.owner.undo(before, old)
		return err
	}
	ps.replace(list)
	_ = ps.owner.leave(cpus, list) // threads that Go made meanwhile; it could before
	if len(list) == 0 {
		ps.owner.end()
	}
	return nil
}

// all are the pollers that there are.
func (ps *pollers) all() []*poller {
	if list := ps.list.Load(); list != nil {
		return *list
	}
	return nil
}

func cpusOf(list []*poller) (cpus []int) {
	for _, q := range list {
		cpus = append(cpus, q.cpu)
	}
	return cpus
}

// count is how many pollers there are.
func (ps *pollers) count() int { return len(ps.all()) }

// otherwise is what GOMAXPROCS is without pollers. A nil receiver has none. Agent.mu is held if there is an Agent.
func (ps *pollers) otherwise() int {
	if ps == nil || ps.procs == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return ps.procs
}

// holdProcs has Go run as many goroutines at a time as it did without pollers, and no fewer than these: a poller never lets another
// one run. Left to itself Go would soon count the processors that are left to it, and run no more than those.
func (ps *pollers) holdProcs(least int) {
	ps.procs = ps.otherwise()
	runtime.GOMAXPROCS(max(least, ps.procs))
}

// freeProcs undoes holdProcs. Go counts by itself again unless somebody had chosen what there was before: in the environment, or it
// is not what Go arrives at. (A program that chose by itself what Go would have is not told from one that did not.)
func (ps *pollers) freeProcs() {
	if ps.procs == 0 {
		return
	}
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		runtime.GOMAXPROCS(ps.procs)
	} else if runtime.SetDefaultGOMAXPROCS(); runtime.GOMAXPROCS(0) != ps.procs {
		runtime.GOMAXPROCS(ps.procs)
	}
	ps.procs = 0
}

// replace gives the guests of the pollers there were to these, or lets them sleep.
func (ps *pollers) replace(list []*poller) {
	with := &list
	if len(list) == 0 {
		with = nil
	}
	ps.mu.Lock()
	old := ps.list.Swap(with)
	ps.mu.Unlock()
	if old != nil {
		stopAll(*old)
	}
}

func newPoller(cpu int) *poller {
	q := &poller{cpu: cpu, wanted: make(chan struct{}, 1), done: make(chan struct{})}
	q.guests.Store(new([]guest))
	return q
}

// start makes a poller that has nothing to look at yet.
func (ps *pollers) start(cpu int) (*poller, error) {
	q := newPoller(cpu)
	bound := make(chan error)
	go func() {
		defer close(q.done)
		runtime.LockOSThread() // the thread ends with the goroutine
		tid, err := bindThread(cpu)
		q.tid.Store(int64(tid))
		if bound <- err; err == nil {
			q.run(ps)
		}
	}()
	if err := <-bound; err != nil {
		return nil, err
	}
	return q, nil
}

func stopAll(list []*poller) {
	for _, q := range list {
		q.quit.Store(true)
		q.rouse()
		<-q.done
	}
}

// mostCPU is the highest number of a processor that Linux's sets of them have room for here.
const mostCPU = 1023

// setCPUs takes numbers and ranges of processors, as taskset does.
func setCPUs(dst *[]int, s string) error {
	var list []int
	for word := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(word), "-")
		lo, err := strconv.ParseUint(first, 10, 31)
		hi := lo
		if err == nil && ranged {
			hi, err = strconv.ParseUint(last, 10, 31)
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q names no processors: expected numbers and ranges, like 1 or 2,4-5", clip(s, 40))
		case hi > mostCPU:
			return fmt.Errorf("processor %d is out of range: expected 0 to %d", hi, mostCPU)
		case hi < lo:
			return fmt.Errorf("the range %s is empty: expected the lower number first", clip(word, 40))
		}
		for n := int(lo); n <= int(hi); n++ {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	*dst = slices.Compact(list)
	return nil
}

// cpuText writes a set of processors as setCPUs reads it.
func cpuText(list []int) string {
	var words []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		word := strconv.Itoa(list[i])
		if j > i {
			word += "-" + strconv.Itoa(list[j])
		}
		words = append(words, word)
		i = j + 1
	}
	return strings.Join(words, ",")
}
