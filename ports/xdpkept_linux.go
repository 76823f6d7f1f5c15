package ports

import (
	"sync"
	"time"
)

// kept is memory that drivers may still write into, though its sockets have gone: the kernel takes it from a driver later, by a
// worker that waits for others who change the network, and tells nobody. Until then nothing else may use it.
//
// A queue that is given to another socket proves that its driver has let go of the last one's: the kernel gives it free only
// after that. So however often a port is opened and closed, no more is kept for a queue than its last socket had. What cannot be proved
// is of interfaces that are gone. It is kept for a while, and while there is too much of it no more is shared with drivers: then
// the kernel copies the frames.
type kept struct {
	mu     sync.Mutex
	queues map[xdpQueue]*keptMemory // guarded by mu

	lag  time.Duration // how long memory is kept without a proof; 0: driverLag
	most int           // bytes of interfaces that are gone; 0: keptMost
}

// xdpQueue is a queue of an interface, by the kernel's numbers.
type xdpQueue struct{ index, queue int }

type keptMemory struct{ bytes []byte }

const (
	driverLag = time.Minute
	keptMost  = 256 << 20 // two ports' with the longest rings and the largest frames
)

// keep keeps a closed socket's memory.
func (k *kept) keep(at xdpQueue, memory []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.queues == nil {
		k.queues = map[xdpQueue]*keptMemory{}
	}
	m := &keptMemory{memory}
	k.queues[at] = m
	lag := k.lag
	if lag == 0 {
		lag = driverLag
	}
	time.AfterFunc(lag, func() { // it holds m, also when k is forgotten before
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.queues[at] == m {
			delete(k.queues, at)
		}
		m.bytes = nil
	})
}

// release is called when the queue has been given to another socket.
func (k *kept) release(at xdpQueue) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.queues[at]; m != nil {
		m.bytes = nil // the timer has m until its time comes
		delete(k.queues, at)
	}
}

// tooMuch says whether interfaces that are gone have as much as they may.
func (k *kept) tooMuch(there func(index int) bool) (bytes int, is bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for at, m := range k.queues {
		if !there(at.index) {
			bytes += len(m.bytes)
		}
	}
	most := k.most
	if most == 0 {
		most = keptMost
	}
	return bytes, bytes >= most
}
