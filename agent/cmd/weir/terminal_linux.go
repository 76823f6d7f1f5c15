// Slow path: does somebody look at the output?

package main

import (
	"io"

	"golang.org/x/sys/unix"
)

func isTerminal(w io.Writer) bool {
	f, ok := fileOf(w)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// screenSize is that of the terminal that w is.
func screenSize(w io.Writer) (columns, lines int, ok bool) {
	f, isFile := fileOf(w)
	if !isFile || !isTerminal(w) {
		return 0, 0, false
	}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		columns, lines = int(size.Col), int(size.Row)
	}
	return columns, lines, true
}
