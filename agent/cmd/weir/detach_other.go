// Slow path: systems without sessions and SIGHUP run weir in the foreground.

//go:build !unix

package main

import (
	"errors"
	"os"
)

func detach(string) ([]string, error) {
	return nil, errors.New("--detach is not possible on this system: run weir as a service, or leave it in the foreground")
}

func notifyHangup(chan<- os.Signal) {}
