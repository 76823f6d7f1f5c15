// Slow path: where nothing is known of binding threads to processors.

//go:build !linux

package agent

import "errors"

type affinity struct{}

func (a *affinity) begin(int) error { return nil }

func (a *affinity) leave([]int, []*poller) error { return nil }

func (a *affinity) end() {}

func (a *affinity) undo(affinity, []*poller) {}

func (q *poller) rebind() {}

func bindThread(int) (tid int, err error) {
	return 0, errors.New("threads can be bound to processors on Linux only: leave it out")
}
