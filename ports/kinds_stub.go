package ports

import "errors"

var errStub = errors.New("not there yet")

func openAFPacket(Spec, Options) (Port, error) { return nil, errStub }
func openTAP(Spec, Options) (Port, error)      { return nil, errStub }
func openInternal(Spec, Options) (Port, error) { return nil, errStub }
func openPcap(Spec, Options) (Port, error)     { return nil, errStub }
