package ports

import "errors"

var errStub = errors.New("not there yet")

func openAFPacket(Spec, Options) (Port, error) { return nil, errStub }
func openTAP(Spec, Options) (Port, error)      { return nil, errStub }
func openInternal(Spec, Options) (Port, error) { return nil, errStub }
func openPatch(Spec, Options) (Port, error)    { return nil, errStub }
func openPipe(Spec, Options) (Port, error)     { return nil, errStub }
func openWire(Spec, Options) (Port, error)     { return nil, errStub }
func openPcap(Spec, Options) (Port, error)     { return nil, errStub }

// Patches is filled in by patch.go.
type Patches struct{}

// Pipes is filled in by pipe.go.
type Pipes struct{}

const (
	maxUDPFrame   = 65507
	frameOverhead = 22
)
