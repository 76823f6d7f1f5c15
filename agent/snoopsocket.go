// Slow path: NAME.snoop: "ovs-ofctl snoop" reads along what the bridge and its controllers say to each other.

package agent

import (
	"context"
	"io"
	"net"
	"path/filepath"

	"github.com/weirswitch/weir/openflow"
)

// snoopPath is where ovs-ofctl snoop looks.
func (s *Switch) snoopPath() string { return filepath.Join(s.env.RunDir, s.name+".snoop") }

// listenSnoop opens NAME.snoop. ops is held.
func (s *Switch) listenSnoop() error {
	l, err := s.openListener(Target{Scheme: "punix", Path: s.snoopPath()})
	if err != nil {
		return err
	}
	l.speak = s.serveSnoop
	s.mu.Lock()
	s.snoopListener = l
	s.mu.Unlock()
	l.done.Go(l.accept)
	return nil
}

// serveSnoop greets a reader and lets it read along until it goes. A bridge without controllers has
// nothing to tell yet; the reader waits. What it says itself, but for HELLO, is not listened to.
func (s *Switch) serveSnoop(ctx context.Context, nc net.Conn, peer string) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	defer nc.Close()
	o := &snooper{onlooker: newOnlooker[snoopNote]()}
	if err := s.snoopers.join(o); err != nil {
		s.log.Infof("%s: %v", peer, err)
		return
	}
	defer s.snoopers.leave(o)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, nc)
	}()
	_, err := nc.Write(openflow.Append(nil, 0, openflow.NewHello(allVersions...)))
	for err == nil {
		select {
		case <-gone:
			return
		case <-o.wake:
		}
		o.spareNotes, o.spareData, _ = o.take(o.spareNotes, o.spareData)
		_, err = nc.Write(o.spareData) // the messages of all notes, one behind the other
	}
}
