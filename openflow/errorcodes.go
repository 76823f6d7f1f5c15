package openflow

// ErrorType is the first half of an error (section 7.4.4); the code's meaning depends on it.
type ErrorType uint16

// The error types.
const (
	ErrHelloFailed         ErrorType = 0
	ErrBadRequest          ErrorType = 1
	ErrBadAction           ErrorType = 2
	ErrBadInstruction      ErrorType = 3
	ErrBadMatch            ErrorType = 4
	ErrFlowModFailed       ErrorType = 5
	ErrGroupModFailed      ErrorType = 6
	ErrPortModFailed       ErrorType = 7
	ErrTableModFailed      ErrorType = 8
	ErrQueueOpFailed       ErrorType = 9
	ErrSwitchConfigFailed  ErrorType = 10
	ErrRoleRequestFailed   ErrorType = 11
	ErrMeterModFailed      ErrorType = 12
	ErrTableFeaturesFailed ErrorType = 13

	// ErrExperimenter: the code is the experimenter's own and Error.Experimenter says whose.
	ErrExperimenter ErrorType = 0xffff
)

// Codes of ErrHelloFailed (section 7.4.4).
const (
	HFCIncompatible uint16 = 0
	HFCEPERM        uint16 = 1
)

// Codes of ErrBadRequest (section 7.4.4).
const (
	BRCBadVersion              uint16 = 0
	BRCBadType                 uint16 = 1
	BRCBadMultipart            uint16 = 2
	BRCBadExperimenter         uint16 = 3
	BRCBadExpType              uint16 = 4
	BRCEPERM                   uint16 = 5
	BRCBadLen                  uint16 = 6
	BRCBufferEmpty             uint16 = 7
	BRCBufferUnknown           uint16 = 8
	BRCBadTableID              uint16 = 9
	BRCIsSlave                 uint16 = 10
	BRCBadPort                 uint16 = 11
	BRCBadPacket               uint16 = 12
	BRCMultipartBufferOverflow uint16 = 13
)

// Codes of ErrBadAction (section 7.4.4).
const (
	BACBadType           uint16 = 0
	BACBadLen            uint16 = 1
	BACBadExperimenter   uint16 = 2
	BACBadExpType        uint16 = 3
	BACBadOutPort        uint16 = 4
	BACBadArgument       uint16 = 5
	BACEPERM             uint16 = 6
	BACTooMany           uint16 = 7
	BACBadQueue          uint16 = 8
	BACBadOutGroup       uint16 = 9
	BACMatchInconsistent uint16 = 10
	BACUnsupportedOrder  uint16 = 11
	BACBadTag            uint16 = 12
	BACBadSetType        uint16 = 13
	BACBadSetLen         uint16 = 14
	BACBadSetArgument    uint16 = 15
)

// Codes of ErrBadInstruction (section 7.4.4).
const (
	BICUnknownInst       uint16 = 0
	BICUnsupInst         uint16 = 1
	BICBadTableID        uint16 = 2
	BICUnsupMetadata     uint16 = 3
	BICUnsupMetadataMask uint16 = 4
	BICBadExperimenter   uint16 = 5
	BICBadExpType        uint16 = 6
	BICBadLen            uint16 = 7
	BICEPERM             uint16 = 8
)

// Codes of ErrBadMatch (section 7.4.4).
const (
	BMCBadType       uint16 = 0
	BMCBadLen        uint16 = 1
	BMCBadTag        uint16 = 2
	BMCBadDLAddrMask uint16 = 3
	BMCBadNWAddrMask uint16 = 4
	BMCBadWildcards  uint16 = 5
	BMCBadField      uint16 = 6
	BMCBadValue      uint16 = 7
	BMCBadMask       uint16 = 8
	BMCBadPrereq     uint16 = 9
	BMCDupField      uint16 = 10
	BMCEPERM         uint16 = 11
)

// Codes of ErrFlowModFailed (section 7.4.4).
const (
	FMFCUnknown    uint16 = 0
	FMFCTableFull  uint16 = 1
	FMFCBadTableID uint16 = 2
	FMFCOverlap    uint16 = 3
	FMFCEPERM      uint16 = 4
	FMFCBadTimeout uint16 = 5
	FMFCBadCommand uint16 = 6
	FMFCBadFlags   uint16 = 7
)

// Codes of ErrGroupModFailed (section 7.4.4).
const (
	GMFCGroupExists         uint16 = 0
	GMFCInvalidGroup        uint16 = 1
	GMFCWeightUnsupported   uint16 = 2
	GMFCOutOfGroups         uint16 = 3
	GMFCOutOfBuckets        uint16 = 4
	GMFCChainingUnsupported uint16 = 5
	GMFCWatchUnsupported    uint16 = 6
	GMFCLoop                uint16 = 7
	GMFCUnknownGroup        uint16 = 8
	GMFCChainedGroup        uint16 = 9
	GMFCBadType             uint16 = 10
	GMFCBadCommand          uint16 = 11
	GMFCBadBucket           uint16 = 12
	GMFCBadWatch            uint16 = 13
	GMFCEPERM               uint16 = 14
)

// Codes of ErrPortModFailed (section 7.4.4).
const (
	PMFCBadPort      uint16 = 0
	PMFCBadHWAddr    uint16 = 1
	PMFCBadConfig    uint16 = 2
	PMFCBadAdvertise uint16 = 3
	PMFCEPERM        uint16 = 4
)

// Codes of ErrTableModFailed (section 7.4.4).
const (
	TMFCBadTable  uint16 = 0
	TMFCBadConfig uint16 = 1
	TMFCEPERM     uint16 = 2
)

// Codes of ErrQueueOpFailed (section 7.4.4).
const (
	QOFCBadPort  uint16 = 0
	QOFCBadQueue uint16 = 1
	QOFCEPERM    uint16 = 2
)

// Codes of ErrSwitchConfigFailed (section 7.4.4).
const (
	SCFCBadFlags uint16 = 0
	SCFCBadLen   uint16 = 1
	SCFCEPERM    uint16 = 2
)

// Codes of ErrRoleRequestFailed (section 7.4.4).
const (
	RRFCStale   uint16 = 0
	RRFCUnsup   uint16 = 1
	RRFCBadRole uint16 = 2
)

// Codes of ErrMeterModFailed (section 7.4.4).
const (
	MMFCUnknown      uint16 = 0
	MMFCMeterExists  uint16 = 1
	MMFCInvalidMeter uint16 = 2
	MMFCUnknownMeter uint16 = 3
	MMFCBadCommand   uint16 = 4
	MMFCBadFlags     uint16 = 5
	MMFCBadRate      uint16 = 6
	MMFCBadBurst     uint16 = 7
	MMFCBadBand      uint16 = 8
	MMFCBadBandValue uint16 = 9
	MMFCOutOfMeters  uint16 = 10
	MMFCOutOfBands   uint16 = 11
)

// Codes of ErrTableFeaturesFailed (section 7.4.4).
const (
	TFFCBadTable    uint16 = 0
	TFFCBadMetadata uint16 = 1
	TFFCBadType     uint16 = 2
	TFFCBadLen      uint16 = 3
	TFFCBadArgument uint16 = 4
	TFFCEPERM       uint16 = 5
)

// ONFDuplicateInstruction is the code, under ErrExperimenter and ExperimenterONF, for two instructions
// of one type: OpenFlow 1.3 has none of its own and 1.4's was handed back as an extension.
const ONFDuplicateInstruction uint16 = 2600

// errorNames gives the specification's spelling, indexed by ErrorType and code.
var errorNames = [...]struct {
	name   string
	prefix string
	codes  []string
}{
	ErrHelloFailed: {"OFPET_HELLO_FAILED", "OFPHFC_", []string{
		"INCOMPATIBLE", "EPERM",
	}},
	ErrBadRequest: {"OFPET_BAD_REQUEST", "OFPBRC_", []string{
		"BAD_VERSION", "BAD_TYPE", "BAD_MULTIPART", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "EPERM", "BAD_LEN", "BUFFER_EMPTY", "BUFFER_UNKNOWN", "BAD_TABLE_ID", "IS_SLAVE", "BAD_PORT", "BAD_PACKET", "MULTIPART_BUFFER_OVERFLOW",
	}},
	ErrBadAction: {"OFPET_BAD_ACTION", "OFPBAC_", []string{
		"BAD_TYPE", "BAD_LEN", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "BAD_OUT_PORT", "BAD_ARGUMENT", "EPERM", "TOO_MANY", "BAD_QUEUE", "BAD_OUT_GROUP", "MATCH_INCONSISTENT", "UNSUPPORTED_ORDER", "BAD_TAG", "BAD_SET_TYPE", "BAD_SET_LEN", "BAD_SET_ARGUMENT",
	}},
	ErrBadInstruction: {"OFPET_BAD_INSTRUCTION", "OFPBIC_", []string{
		"UNKNOWN_INST", "UNSUP_INST", "BAD_TABLE_ID", "UNSUP_METADATA", "UNSUP_METADATA_MASK", "BAD_EXPERIMENTER", "BAD_EXP_TYPE", "BAD_LEN", "EPERM",
	}},
	ErrBadMatch: {"OFPET_BAD_MATCH", "OFPBMC_", []string{
		"BAD_TYPE", "BAD_LEN", "BAD_TAG", "BAD_DL_ADDR_MASK", "BAD_NW_ADDR_MASK", "BAD_WILDCARDS", "BAD_FIELD", "BAD_VALUE", "BAD_MASK", "BAD_PREREQ", "DUP_FIELD", "EPERM",
	}},
	ErrFlowModFailed: {"OFPET_FLOW_MOD_FAILED", "OFPFMFC_", []string{
		"UNKNOWN", "TABLE_FULL", "BAD_TABLE_ID", "OVERLAP", "EPERM", "BAD_TIMEOUT", "BAD_COMMAND", "BAD_FLAGS",
	}},
	ErrGroupModFailed: {"OFPET_GROUP_MOD_FAILED", "OFPGMFC_", []string{
		"GROUP_EXISTS", "INVALID_GROUP", "WEIGHT_UNSUPPORTED", "OUT_OF_GROUPS", "OUT_OF_BUCKETS", "CHAINING_UNSUPPORTED", "WATCH_UNSUPPORTED", "LOOP", "UNKNOWN_GROUP", "CHAINED_GROUP", "BAD_TYPE", "BAD_COMMAND", "BAD_BUCKET", "BAD_WATCH", "EPERM",
	}},
	ErrPortModFailed: {"OFPET_PORT_MOD_FAILED", "OFPPMFC_", []string{
		"BAD_PORT", "BAD_HW_ADDR", "BAD_CONFIG", "BAD_ADVERTISE", "EPERM",
	}},
	ErrTableModFailed: {"OFPET_TABLE_MOD_FAILED", "OFPTMFC_", []string{
		"BAD_TABLE", "BAD_CONFIG", "EPERM",
	}},
	ErrQueueOpFailed: {"OFPET_QUEUE_OP_FAILED", "OFPQOFC_", []string{
		"BAD_PORT", "BAD_QUEUE", "EPERM",
	}},
	ErrSwitchConfigFailed: {"OFPET_SWITCH_CONFIG_FAILED", "OFPSCFC_", []string{
		"BAD_FLAGS", "BAD_LEN", "EPERM",
	}},
	ErrRoleRequestFailed: {"OFPET_ROLE_REQUEST_FAILED", "OFPRRFC_", []string{
		"STALE", "UNSUP", "BAD_ROLE",
	}},
	ErrMeterModFailed: {"OFPET_METER_MOD_FAILED", "OFPMMFC_", []string{
		"UNKNOWN", "METER_EXISTS", "INVALID_METER", "UNKNOWN_METER", "BAD_COMMAND", "BAD_FLAGS", "BAD_RATE", "BAD_BURST", "BAD_BAND", "BAD_BAND_VALUE", "OUT_OF_METERS", "OUT_OF_BANDS",
	}},
	ErrTableFeaturesFailed: {"OFPET_TABLE_FEATURES_FAILED", "OFPTFFC_", []string{
		"BAD_TABLE", "BAD_METADATA", "BAD_TYPE", "BAD_LEN", "BAD_ARGUMENT", "EPERM",
	}},
}
