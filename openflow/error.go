package openflow

import "fmt"

// Error is OpenFlow's own error message and a Go error in one (section 7.4.4). The engine and the
// codec return it; only the connection sends it, with the start of the request that caused it.
type Error struct {
	Type ErrorType
	Code uint16
	// Experimenter says whose code it is when Type is ErrExperimenter, else zero.
	Experimenter uint32
	// Data is the failed request (OFPET_HELLO_FAILED: a text). Decode leaves it nil; see For.
	Data []byte
	// Detail is for logs and never sent: what was wrong, what was expected.
	Detail string
}

// Errorf makes an Error whose Detail is the formatted sentence.
func Errorf(t ErrorType, code uint16, format string, args ...any) *Error {
	return &Error{Type: t, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// For returns a copy of e that carries request, the raw bytes of the message refused, as its data.
// The whole request goes back, as long as the error fits its own length field.
func (e *Error) For(request []byte) *Error {
	c := *e
	c.Data = append([]byte(nil), request[:min(len(request), maxErrorData)]...)
	return &c
}

// maxErrorData leaves room for the experimenter form of the header.
const maxErrorData = MaxMessage - 16

// Error names type and code as the specification spells them, then the detail.
func (e *Error) Error() string {
	s := e.CodeName()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Is makes errors.Is compare type and code, so that a test can ask for an error without its detail.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Type == e.Type && t.Code == e.Code && t.Experimenter == e.Experimenter
}

// CodeName is the specification's name of the code, OFPBMC_BAD_PREREQ for example.
func (e *Error) CodeName() string {
	if e.Type == ErrExperimenter {
		if e.Experimenter == ExperimenterONF && e.Code == ONFDuplicateInstruction {
			return "OFPBIC_DUP_INST"
		}
		return fmt.Sprintf("experimenter 0x%08x error %d", e.Experimenter, e.Code)
	}
	if int(e.Type) < len(errorNames) {
		n := &errorNames[e.Type]
		if int(e.Code) < len(n.codes) {
			return n.prefix + n.codes[e.Code]
		}
	}
	return fmt.Sprintf("%s code %d", e.Type, e.Code)
}

func (t ErrorType) String() string {
	if t == ErrExperimenter {
		return "OFPET_EXPERIMENTER"
	}
	if int(t) < len(errorNames) {
		return errorNames[t].name
	}
	return fmt.Sprintf("error type %d", uint16(t))
}

// MsgType is TypeError.
func (*Error) MsgType() Type { return TypeError }

func (e *Error) appendBody(b []byte) []byte {
	b = append16(b, uint16(e.Type))
	b = append16(b, e.Code)
	if e.Type == ErrExperimenter {
		b = append32(b, e.Experimenter)
	}
	return append(b, e.Data[:min(len(e.Data), maxErrorData)]...)
}

func (e *Error) String() string {
	return fmt.Sprintf("ERROR %s data=%d bytes", e.Error(), len(e.Data))
}

func decodeError(b []byte) (Message, error) {
	if len(b) < 12 {
		return nil, badLen("ERROR", len(b), 12)
	}
	e := &Error{Type: ErrorType(u16(b, 8)), Code: u16(b, 10), Data: b[12:]}
	if e.Type == ErrExperimenter {
		if len(b) < 16 {
			return nil, badLen("ERROR of an experimenter", len(b), 16)
		}
		e.Experimenter, e.Data = u32(b, 12), b[16:]
	}
	return e, nil
}

// badLen is the error of a message too short (or too long) for its type.
func badLen(what string, got, want int) *Error {
	return Errorf(ErrBadRequest, BRCBadLen, "%s of %d bytes, expected %d", what, got, want)
}
