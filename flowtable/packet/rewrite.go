package packet

// SetField gives a field a new value in the frame's bytes and in its Key, and
// keeps every checksum right, finished or owed. A field that the frame does
// not have (a TCP port of an ARP frame) is left alone; fields of the pipeline
// change the Key only. Setting eth_type, ip_proto or mpls_bos changes what the
// bytes behind it mean: the frame is parsed again. No allocation.
func (f *Frame) SetField(fl Field, hi, lo uint64) {}
