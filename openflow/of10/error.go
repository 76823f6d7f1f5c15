package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// Nicira's way to say an error that 1.0 has no number for: a type and code of this vendor's own inside.
const (
	errVendorType = 0xb0c2
	errVendorCode = 0
)

// number is a type and code of 1.0; nicira says that they are Nicira's.
type number struct {
	kind, code uint16
	nicira     bool
}

// unencodable is what is left for an error that has no number at all.
var unencodable = number{1, 521, true}

// errorNumbers has the errors whose numbers differ from 1.3's. Those of OFPET_HELLO_FAILED,
// OFPET_BAD_REQUEST and OFPET_BAD_ACTION up to code 8 do not.
var errorNumbers = map[number]number{
	{1, 9, false}:  {1, 512, true}, // BAD_TABLE_ID
	{1, 10, false}: {1, 5, false},  // IS_SLAVE, as EPERM
	{1, 11, false}: {1, 514, true}, // BAD_PORT
	{2, 9, false}:  {2, 9, true},   // BAD_OUT_GROUP
	{2, 10, false}: {1, 522, true}, // MATCH_INCONSISTENT
	{2, 11, false}: {3, 5, false},  // UNSUPPORTED_ORDER, as OFPFMFC_UNSUPPORTED
	{2, 13, false}: {1, 523, true}, // BAD_SET_TYPE
	{2, 14, false}: {1, 524, true},
	{2, 15, false}: {1, 525, true},
	{3, 1, false}:  {2, 257, true}, // UNSUP_INST
	{4, 5, false}:  {1, 262, true}, // BAD_WILDCARDS
	{4, 6, false}:  {0, 263, true},
	{4, 7, false}:  {1, 258, true},
	{4, 8, false}:  {1, 259, true},
	{4, 9, false}:  {1, 260, true},
	{4, 10, false}: {1, 261, true},
	{5, 1, false}:  {3, 0, false}, // TABLE_FULL
	{5, 2, false}:  {5, 257, true},
	{5, 3, false}:  {3, 1, false},
	{5, 4, false}:  {3, 2, false},
	{5, 6, false}:  {3, 4, false},
	{5, 7, false}:  {3, 258, true},
	{7, 0, false}:  {4, 0, false}, // PORT_MOD_FAILED
	{7, 1, false}:  {4, 1, false},
	{9, 0, false}:  {5, 0, false}, // QUEUE_OP_FAILED
	{9, 1, false}:  {5, 1, false},
	{9, 2, false}:  {5, 2, false},
	{11, 2, false}: {1, 513, true}, // BAD_ROLE
}

// errorOut translates an error's numbers.
func errorOut(e *openflow.Error) number {
	from := number{uint16(e.Type), e.Code, false}
	if to, ok := errorNumbers[from]; ok {
		return to
	}
	switch {
	case e.Type == openflow.ErrExperimenter && e.Experimenter == openflow.ExperimenterNicira && e.Code >= openflow.MOFCMonitorExists && e.Code <= openflow.MOFCUnknownMonitor:
		return number{1, 511 + e.Code, true}
	case e.Type <= openflow.ErrBadAction && e.Code <= 8:
		return from
	case e.Type == openflow.ErrGroupModFailed:
		from.nicira = true
		return from
	}
	return unencodable
}

// errorIn is the opposite of errorOut.
func errorIn(n number) (openflow.ErrorType, uint16, bool) {
	if !n.nicira && n.kind <= 2 && n.code <= 8 || n.nicira && n.kind == uint16(openflow.ErrGroupModFailed) {
		return openflow.ErrorType(n.kind), n.code, true
	}
	for from, to := range errorNumbers {
		if to == n {
			return openflow.ErrorType(from.kind), from.code, true
		}
	}
	return 0, 0, false
}

// appendError writes an ERROR with what can be of the request that it is about.
func appendError(b []byte, xid uint32, e *openflow.Error) []byte {
	b = appendHeader(b, typeError, xid)
	n, data := errorOut(e), e.Data
	if n.nicira {
		b = append32(append16(append16(b, errVendorType), errVendorCode), openflow.ExperimenterNicira)
		data = data[:min(len(data), openflow.MaxMessage-20)]
	}
	return append(append16(append16(b, n.kind), n.code), data...)
}

// decodeError reads an ERROR.
func decodeError(b []byte) (openflow.Message, error) {
	if len(b) < 12 {
		return nil, badLen("ERROR", len(b), 12)
	}
	n, data := number{u16(b, 8), u16(b, 10), false}, b[12:]
	if n.kind == errVendorType && n.code == errVendorCode && len(b) >= 20 && u32(b, 12) == openflow.ExperimenterNicira {
		n, data = number{u16(b, 16), u16(b, 18), true}, b[20:]
	}
	e := &openflow.Error{Data: data}
	var ok bool
	if e.Type, e.Code, ok = errorIn(n); !ok {
		e.Type, e.Code = openflow.ErrExperimenter, n.code
		e.Experimenter = openflow.ExperimenterNicira
	}
	return e, nil
}
