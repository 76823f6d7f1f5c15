package openflow

// Bundles are OpenFlow 1.4's, handed back to 1.3 as experimenter messages of the ONF.

// The experimenter types of ExperimenterONF that weir knows.
const (
	ONFBundleControl uint32 = 2300
	ONFBundleAdd     uint32 = 2301
	ONFFlowMonitor   uint32 = 1870
)

// The codes of bundle errors, under ErrExperimenter and ExperimenterONF.
const (
	BFCUnknown      uint16 = 2300
	BFCBadID        uint16 = 2302
	BFCBundleExist  uint16 = 2303
	BFCBundleClosed uint16 = 2304
	BFCOutOfBundles uint16 = 2305
	BFCBadType      uint16 = 2306
	BFCBadFlags     uint16 = 2307
	BFCMsgBadLen    uint16 = 2308
	BFCMsgBadXID    uint16 = 2309
	BFCMsgUnsup     uint16 = 2310
	BFCMsgTooMany   uint16 = 2312
	BFCMsgFailed    uint16 = 2313
)

const bundleControlLength = 8

// BundleCommand says what a BUNDLE_CONTROL asks or answers: an answer is one more than its question.
type BundleCommand uint16

// The questions.
const (
	BundleOpen    BundleCommand = 0
	BundleClose   BundleCommand = 2
	BundleCommit  BundleCommand = 4
	BundleDiscard BundleCommand = 6
)

// BundleFlags say how a bundle is to be carried out.
type BundleFlags uint16

// The flags.
const (
	BundleAtomic  BundleFlags = 1 << 0
	BundleOrdered BundleFlags = 1 << 1
)

// BundleControl opens, closes, commits or discards a bundle, or answers that.
type BundleControl struct {
	ID      uint32
	Command BundleCommand
	Flags   BundleFlags
}

// Experimenter is the message that carries c.
func (c BundleControl) Experimenter() *Experimenter {
	b := append16(append16(append32(nil, c.ID), uint16(c.Command)), uint16(c.Flags))
	return &Experimenter{Experimenter: ExperimenterONF, ExpType: ONFBundleControl, Data: b}
}

// ReadBundleControl reads what an ONFBundleControl message carries. Properties behind it are skipped.
func ReadBundleControl(b []byte) (BundleControl, error) {
	if len(b) < bundleControlLength {
		return BundleControl{}, badLen("BUNDLE_CONTROL", 16+len(b), 16+bundleControlLength)
	}
	return BundleControl{ID: u32(b, 0), Command: BundleCommand(u16(b, 4)), Flags: BundleFlags(u16(b, 6))}, nil
}

// BundleAdd is the message that carries another one, as it is on the wire, into a bundle. Both have one transaction id.
func BundleAdd(id uint32, flags BundleFlags, message []byte) *Experimenter {
	b := append16(append16(append32(make([]byte, 0, 8+len(message)), id), 0), uint16(flags))
	return &Experimenter{Experimenter: ExperimenterONF, ExpType: ONFBundleAdd, Data: append(b, message...)}
}

// ReadBundleAdd reads what an ONFBundleAdd message carries: a message for a bundle.
func ReadBundleAdd(b []byte) (id uint32, flags BundleFlags, message []byte, err error) {
	if len(b) < 8+HeaderSize {
		return 0, 0, nil, badLen("BUNDLE_ADD_MESSAGE", 16+len(b), 24+HeaderSize)
	}
	message = b[8:]
	n := ReadHeader(message).Length
	if n < HeaderSize || n > len(message) {
		return 0, 0, nil, BundleErrorf(BFCMsgBadLen, "a message of %d bytes in a bundle, where %d are left", n, len(message))
	}
	return u32(b, 0), BundleFlags(u16(b, 6)), message[:n:n], nil
}

// BundleErrorf makes an error of a bundle.
func BundleErrorf(code uint16, format string, args ...any) *Error {
	e := Errorf(ErrExperimenter, code, format, args...)
	e.Experimenter = ExperimenterONF
	return e
}
