// Slow path: does somebody look at the output?

//go:build !linux

package main

import (
	"io"
	"os"
)

func isTerminal(w io.Writer) bool {
	f, ok := fileOf(w)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// screenSize is that of the terminal that w is; 0: nobody knows.
func screenSize(w io.Writer) (columns, lines int, ok bool) { return 0, 0, isTerminal(w) }
