//go:build !linux

package ports

import (
	"context"
	"errors"
	"os"
	"time"
)

// receiveBatch is how many datagrams are taken in at once.
const receiveBatch = 1

// datagramSender sends datagrams one by one.
type datagramSender struct{ conn datagramConn }

func newDatagramSender(conn datagramConn) (*datagramSender, error) {
	return &datagramSender{conn}, nil
}

// send sends the first datagram and says whether it went (1 or 0) or why not, patient with a full peer but not for
// long. UDP reports a refusal of an earlier datagram instead of sending this one, so a
// refusal is tried once more.
func (s *datagramSender) send(ctx context.Context, list [][]byte) (n int, err error) {
	if _, queue := s.conn.(*unixPair); !queue {
		if _, err = s.conn.Write(list[0]); err != nil && peerMissing(err) {
			_, err = s.conn.Write(list[0])
		}
		return sentOne(err)
	}
	for waited := time.Duration(0); ; waited += sendRetry {
		if err := s.conn.SetWriteDeadline(time.Now().Add(sendRetry)); err != nil {
			return 0, err
		}
		_, err := s.conn.Write(list[0])
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || waited >= sendPatience || ctx.Err() != nil {
			return sentOne(err)
		}
	}
}

func sentOne(err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// datagramReceiver takes datagrams one by one.
type datagramReceiver struct {
	conn datagramConn
	room []byte
}

// newDatagramReceiver has room for a datagram of size bytes; what is longer is cut.
func newDatagramReceiver(conn datagramConn, size int) (*datagramReceiver, error) {
	return &datagramReceiver{conn, make([]byte, size)}, nil
}

// receive waits for a datagram and appends it to list. It is valid until the next call.
func (r *datagramReceiver) receive(list [][]byte) ([][]byte, error) {
	n, err := r.conn.Read(r.room)
	if err != nil {
		return list, err
	}
	return append(list, r.room[:n]), nil
}
