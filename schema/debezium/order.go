package debezium

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/sluice-cdc/sluice/schema"
)

// orders make the order of a position from the source block, by connector; ok is false if
// it does not tell. What the members hold is in the Debezium documentation, "source" under
// "Data change events" of each connector. Connectors that are not here have no total order
// (Vitess, one a shard) or rows that are partial.
var orders = map[string]func(o *ordering) (ok bool){
	"postgresql": (*ordering).postgresql,
	"mysql":      (*ordering).mysql,
	"mariadb":    (*ordering).mariadb,
	"sqlserver":  (*ordering).sqlServer,
	"db2":        (*ordering).hexLSNs,
	"informix":   (*ordering).informix,
	"oracle":     (*ordering).oracle,
	"mongodb":    (*ordering).mongoDB,

	"spanner":     (*ordering).spanner,
	"cockroachdb": (*ordering).cockroachDB,
}

// ordering is a position in the making.
type ordering struct {
	parts [32]positionPart
	scope uint64 // FNV-1a of what the positions that compare with this have in common
	dst   []byte
	why   string // it does not tell, "" if members are just not there or no numbers
}

// place notes the position of the change at hand in d.at, for a table that is ordered by
// it. Of a snapshot's row it may not be known: an incremental snapshot reads rows while
// the log goes on, and each is as good as where its record stands.
func (d *Decoder) place(sh *shape) error {
	stream := d.stream()
	if d.from.block == nil {
		return &fault{"a record without Debezium's source block, and the table is ordered by position",
			fmt.Sprintf("take the transform away that leaves the block out, or leave out tables.%s.order in the tables file; then restart", sh.table)}
	}
	o := &d.ordering // on the heap, for it is handed to a function that is not known before
	*o = ordering{scope: fnvOffset}
	d.positionParts(&o.parts)
	connector := o.part("connector").text
	of := orders[string(connector)]
	if of == nil {
		return &fault{fmt.Sprintf("changes of the connector %.40q have no total order, and the table is ordered by position", connector),
			fmt.Sprintf("leave out tables.%s.order in the tables file, give the topic one partition a key for good, and restart", sh.table)}
	}
	snapshot := o.part("snapshot").text
	streaming := len(snapshot) == 0 || string(snapshot) == "false"
	o.within(connector)
	o.within(o.part("name").text)
	o.within(d.from.db)
	o.dst = schema.AppendPosition(d.at[:0], stream, 0)
	ok := string(snapshot) != "incremental" && of(o)
	switch {
	case ok:
		d.at = o.dst
		binary.BigEndian.PutUint64(d.at[8:], max(o.scope, 1))
	case streaming:
		why := cmp.Or(o.why, fmt.Sprintf("the source block does not tell the change's position as the connector %s should", connector))
		return &fault{why + ", and the table is ordered by it",
			fmt.Sprintf("leave out tables.%s.order in the tables file and restart", sh.table)}
	default:
		d.at = d.at[:0]
	}
	return nil
}

// placeTombstone is place for a tombstone, which tells no position. It follows the delete
// that it is left of, so it is no older than the record before it.
func (d *Decoder) placeTombstone() {
	if len(d.at) == 0 {
		d.at = schema.AppendPosition(d.at, d.stream(), schema.Oldest)
	}
}

// allKnown refuses a row with a value that the source did not send: it would be filled from
// the change that came before, which need not be the one before it at the source.
func allKnown(sh *shape, run *schema.Rows) error {
	if !run.Partial {
		return nil
	}
	run.Partial = false
	return &fault{"the source did not log all values (Debezium's unavailable-value placeholder), and the table is ordered by position",
		fmt.Sprintf("ALTER TABLE … REPLICA IDENTITY FULL makes whole rows come from then on; leave out tables.%s.order in the tables file, and restart", sh.table)}
}

// stream names the partition at hand.
func (d *Decoder) stream() uint64 { return hashed(fnvOffset, []byte(d.topic)) + uint64(d.part) }

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/.
const fnvOffset, fnvPrime = 14695981039346656037, 1099511628211

func hashed(h uint64, text []byte) uint64 {
	for _, c := range text {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

func (o *ordering) part(name string) *positionPart { return &o.parts[positionMembers[name]] }

// within adds something to the scope.
func (o *ordering) within(text []byte) { o.scope = hashed(o.scope, text) * fnvPrime }

// number returns a member that is a number not below zero. null is for one that is not
// there.
func (o *ordering) number(name string, null uint64) (n uint64, ok bool) {
	p := o.part(name)
	switch p.is {
	case 'n':
		return uint64(p.number), p.number >= 0
	case 't':
		hi, n, ok := decimal128(p.text)
		return n, ok && hi == 0
	}
	return null, true
}

func (o *ordering) append64(n uint64) { o.dst = binary.BigEndian.AppendUint64(o.dst, n) }

// postgresql: the LSN of the last commit before the change's transaction, and its own.
// Transactions come in the order of their commits, whose changes may have been logged
// the other way around. The first commit of a stream has none before it.
func (o *ordering) postgresql() bool {
	commit, own, _ := bytes.Cut(o.part("sequence").text, []byte(","))
	lsn, ok := lsnIn(own)
	if !ok {
		if lsn, ok = o.number("lsn", 0); !ok || lsn == 0 {
			return false
		}
	}
	after, ok := lsnIn(commit)
	if !ok {
		after = lsn
	}
	o.append64(after)
	o.append64(lsn)
	return true
}

// lsnIn returns the number in an element of a list of strings.
func lsnIn(text []byte) (uint64, bool) {
	hi, n, ok := decimal128(bytes.Trim(text, `[]"\ `))
	return n, ok && hi == 0
}

// mysql: the number of the GTID, within its source (and tag), or the file of the binlog,
// within a server. A snapshot's row has the server 0, and no position.
func (o *ordering) mysql() bool {
	if at := bytes.LastIndexByte(o.part("gtid").text, ':'); at > 0 {
		gtid := o.part("gtid").text
		_, n, ok := decimal128(gtid[at+1:])
		o.within(gtid[:at])
		o.append64(n)
		return ok && o.binlog(false)
	}
	return o.binlog(true)
}

// mariadb: the sequence number of the GTID domain-server-sequence, within its domain.
func (o *ordering) mariadb() bool {
	gtid := o.part("gtid").text
	first, last := bytes.IndexByte(gtid, '-'), bytes.LastIndexByte(gtid, '-')
	if first <= 0 || last <= first {
		return o.binlog(true)
	}
	_, n, ok := decimal128(gtid[last+1:])
	o.within(gtid[:first])
	o.append64(n)
	return ok && o.binlog(false)
}

// binlog is the file's number, the position of the event in it and the row's in the
// event. The numbers of files go on after .999999 with .1000000.
func (o *ordering) binlog(scoped bool) bool {
	server, ok := o.number("server_id", 0)
	file := o.part("file").text
	at := bytes.LastIndexByte(file, '.')
	if !ok || server == 0 || at < 0 {
		return false
	}
	if scoped {
		o.scope = (o.scope ^ server) * fnvPrime
		o.within(file[:at])
	}
	_, n, ok := decimal128(file[at+1:])
	pos, ok2 := o.number("pos", 0)
	row, ok3 := o.number("row", 0)
	o.append64(n)
	o.append64(pos)
	o.append64(row)
	return ok && ok2 && ok3
}

// sqlServer: the LSN of the commit and of the change in it, and the part of an update.
func (o *ordering) sqlServer() bool {
	serial, ok := o.number("event_serial_no", 0)
	ok = ok && o.hexLSNs()
	o.append64(serial)
	return ok
}

// hexLSNs are those of SQL Server and Db2: groups of digits with colons between them.
func (o *ordering) hexLSNs() bool {
	if len(o.part("commit_lsn").text) == 0 {
		return false
	}
	return o.hex128("commit_lsn") && o.hex128("change_lsn")
}

// informix has the same as decimals.
func (o *ordering) informix() bool {
	commit, ok := o.number("commit_lsn", 0)
	change, ok2 := o.number("change_lsn", 0)
	o.append64(commit)
	o.append64(change)
	return ok && ok2 && commit > 0
}

// oracle: XStream's position is one; LogMiner's is the SCN of the commit, and the change's
// number in the transaction or, before that was told, where the redo log has it. A
// snapshot has the SCN that it reads as of.
func (o *ordering) oracle() bool {
	if lcr := o.part("lcr_position").text; len(lcr) > 0 {
		o.within([]byte("lcr"))
		o.dst = append(o.dst, bytes.ToLower(lcr)...)
		return true
	}
	commit := "commit_scn"
	switch p := o.part(commit); {
	case p.is == 0:
		commit = "scn"
	case bytes.ContainsAny(p.text, ",:"):
		thread, _ := o.number("redo_thread", 0)
		if p.text = commitOf(p.text, thread); p.text == nil {
			o.why = "commit_scn lists several redo threads and redo_thread does not tell which of them is the change's"
			return false
		}
	}
	seq, ok := o.number("txSeq", 0)
	ssn, ok2 := o.number("ssn", 0)
	if o.part(commit).is == 0 || !o.decimal(commit) {
		return false
	}
	o.append64(seq)
	ok = ok && ok2 && o.decimal("scn") && o.hex128("rs_id")
	o.append64(ssn)
	return ok
}

// commitOf returns the SCN of a redo thread in a list of them, as of a cluster's (RAC), nil
// if it has none: scn:thread:transactions, or scn:rs_id:ssn:thread as before Debezium 1.9.6.
// The SCNs of a cluster are of one clock, so those of two threads compare.
func commitOf(list []byte, thread uint64) []byte {
	for more := true; more; {
		var one []byte
		one, list, more = bytes.Cut(list, []byte(","))
		scn, rest, _ := bytes.Cut(one, []byte(":"))
		own, _, _ := bytes.Cut(rest, []byte(":"))
		if bytes.Count(rest, []byte(":")) == 2 {
			own = rest[bytes.LastIndexByte(rest, ':')+1:]
		}
		if _, n, ok := decimal128(own); ok && n == thread {
			return scn
		}
	}
	return nil
}

// mongoDB: the second of the oplog and the change's ordinal in it, -1 in some snapshots.
func (o *ordering) mongoDB() bool {
	ms, ok := o.number("ts_ms", 0)
	ord := int64(0)
	switch p := o.part("ord"); p.is {
	case 'n':
		ord = p.number
	case 't':
		ord, _ = parseInt(p.text)
	}
	o.append64(ms / 1000)
	o.append64(uint64(ord + 1))
	return ok && ms > 0
}

// spanner: the commit's time, which no two transactions that change one row share, the
// transaction, the record's number in it and the change's in the record. The time is told
// to the microsecond; its milliseconds alone would leave the order to the transaction's
// name, which tells none.
func (o *ordering) spanner() bool {
	us, ok := o.number("ts_us", 0)
	if us == 0 {
		o.why = "source.ts_us, the commit's time in microseconds that Debezium tells from 2.6 on, is not there"
		return false
	}
	sequence, ok2 := o.number("sequence", 0)
	mod, ok3 := o.number("mod_number", 0)
	o.append64(us)
	o.dst = append(append(o.dst, o.part("server_transaction_id").text...), 0)
	o.append64(sequence)
	o.append64(mod)
	return ok && ok2 && ok3
}

// cockroachDB: the hybrid logical clock's wall time in nanoseconds and, after the point,
// its counter.
func (o *ordering) cockroachDB() bool {
	wall, logical, _ := bytes.Cut(o.part("ts_hlc").text, []byte("."))
	hi, ns, ok := decimal128(wall)
	hi2, n, ok2 := decimal128(logical)
	o.append64(ns)
	o.append64(n)
	return ok && ok2 && hi == 0 && hi2 == 0
}

// decimal appends a number of up to 128 bits; 0 is for one that is not there. An SCN may
// exceed 64.
func (o *ordering) decimal(name string) bool {
	p := o.part(name)
	hi, lo, ok := uint64(0), uint64(p.number), p.number >= 0
	if p.is == 't' {
		hi, lo, ok = decimal128(p.text)
	}
	o.append64(hi)
	o.append64(lo)
	return ok
}

func decimal128(text []byte) (hi, lo uint64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' || hi > 1<<59 {
			return 0, 0, false
		}
		over, low := bits.Mul64(lo, 10)
		low, carry := bits.Add64(low, uint64(c-'0'), 0)
		hi, lo = hi*10+over+carry, low
	}
	return hi, lo, len(text) > 0
}

// hex128 appends a number of up to 32 hexadecimal digits in groups; 0 is for one that is
// not there.
func (o *ordering) hex128(name string) bool {
	var hi, lo uint64
	digits := 0
	text := bytes.TrimPrefix(bytes.TrimSpace(o.part(name).text), []byte("0x"))
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		case c == ':' || c == '.':
			continue
		default:
			return false
		}
		if digits++; digits > 32 {
			return false
		}
		hi, lo = hi<<4|lo>>60, lo<<4|uint64(c)
	}
	o.append64(hi)
	o.append64(lo)
	return true
}
