// Slow path: which processors are given to polling, and what is left to the other threads.

package agent

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// set gives these processors to polling, and back those that were before. After an error the pollers are as they were.
func (ps *pollers) set(cpus []int) error {
	ps.binding.Lock()
	defer ps.binding.Unlock()
	var list []*poller
	before := ps.owner
	err := ps.owner.begin(len(cpus))
	for _, cpu := range cpus {
		if err != nil {
			break
		}
		var q *poller
		if q, err = ps.start(cpu); err == nil {
			list = append(list, q)
		}
	}
	if err == nil && len(list) > 0 {
		ps.holdProcs(max(ps.count(), len(list)) + 1) // until replace there are both, and after an error the old ones go on
	}
	if err == nil {
		err = ps.owner.leave(cpus, list)
	}
	if err == nil {
		ps.replace(list)
		_ = ps.owner.leave(cpus, list) // threads that Go made meanwhile; it could before
		if len(list) == 0 {
			ps.owner.end()
		}
	} else {
		ps.owner = before
		stopAll(list)
		err = fmt.Errorf("poll-cpus: %w", err)
	}
	if n := ps.count(); n > 0 {
		ps.holdProcs(n + 1)
	} else {
		ps.freeProcs()
	}
	return err
}

// count is how many pollers there are.
func (ps *pollers) count() int {
	if list := ps.list.Load(); list != nil {
		return len(*list)
	}
	return 0
}

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

// freeProcs undoes holdProcs. Go counts by itself again if it arrives at what there was before; else somebody had chosen that.
func (ps *pollers) freeProcs() {
	if ps.procs == 0 {
		return
	}
	if runtime.SetDefaultGOMAXPROCS(); runtime.GOMAXPROCS(0) != ps.procs {
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
