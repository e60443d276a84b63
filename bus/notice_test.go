package bus

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// typing returns a moment of a user who types in a channel.
func typing(channel, user int64) Moment { return Moment{Kind: Typing, Channel: channel, User: user} }

// sorted sorts the lists of an envelope in place, so that it can be compared.
func sorted(e envelope) envelope {
	slices.Sort(e.Users)
	slices.Sort(e.Readers)
	slices.SortFunc(e.Moments, func(a, b Moment) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	slices.SortFunc(e.Presence, func(a, b Presence) int { return int(a.Channel - b.Channel) })
	for _, p := range e.Presence {
		slices.SortFunc(p.Here, func(a, b User) int { return int(a.ID - b.ID) })
		slices.Sort(p.Gone)
	}
	return e
}

func TestBatchMerges(t *testing.T) {
	t.Parallel()
	ada, bob, zhang := User{1, "Ada"}, User{2, "Bob"}, User{3, "张伟"}
	var b batch
	if !b.empty() {
		t.Error("the zero batch is not empty")
	}
	for i, n := range []Notice{
		{Channels: map[int64]int64{1: 5, 2: 1}, Users: []int64{7}, Moments: []Moment{typing(1, 7)}},
		{Channels: map[int64]int64{1: 4, 3: 0}, Users: []int64{7, 8}, Readers: []int64{9}, Moments: []Moment{typing(1, 7)}},
		{Presence: []Presence{{Channel: 1, Here: []User{ada, bob}}, {Channel: 2, Here: []User{ada}}}},
		{Presence: []Presence{{Channel: 1, Gone: []int64{1, 3}}, {Channel: 2, Whole: true, Here: []User{bob, zhang}}}},
		{Presence: []Presence{{Channel: 1, Here: []User{zhang}}, {Channel: 2, Gone: []int64{2}}}, Ask: true},
	} {
		n.Number = int64(i + 1)
		b.add(envelope{Notice: n})
	}
	want := Notice{
		Node: "node", Number: 5,
		Channels: map[int64]int64{1: 5, 2: 1, 3: 0}, Users: []int64{7, 8}, Readers: []int64{9},
		Presence: []Presence{
			{Channel: 1, Here: []User{bob, zhang}, Gone: []int64{1}},
			{Channel: 2, Here: []User{zhang}, Gone: []int64{1, 2}, Whole: true},
		},
		Moments: []Moment{typing(1, 7), typing(1, 7)}, Ask: true,
	}
	if got := sorted(b.envelope("node")); !reflect.DeepEqual(got, envelope{Notice: want}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	b.dropTransient()
	if b.empty() || b.envelope("node").Presence != nil || b.envelope("node").Moments != nil {
		t.Errorf("without what is transient: %+v", b.envelope("node"))
	}
}

// TestTooManyUsers: a list that is too long is dropped, and the other nodes learn
// that it was.
func TestTooManyUsers(t *testing.T) {
	t.Parallel()
	var b batch
	for id := range int64(maxUsers) {
		b.add(envelope{Notice: Notice{Users: []int64{id}, Readers: []int64{id}}})
	}
	if b.Dropped {
		t.Fatal("dropped too early")
	}
	b.add(envelope{Notice: Notice{Users: []int64{maxUsers}}})
	e := b.envelope("node")
	if !e.Dropped || len(e.Users) != 0 || len(e.Readers) != maxUsers {
		t.Errorf("dropped is %v with %d users, %d readers", e.Dropped, len(e.Users), len(e.Readers))
	}
}

// TestJSON fixes how an envelope is sent, because nodes of two versions run at the
// same time while one replaces the other.
func TestJSON(t *testing.T) {
	t.Parallel()
	const text = `{"node":"a","number":2,"channels":{"1":7},"users":[11],"readers":[12],` +
		`"presence":[{"c":1,"h":[{"i":21,"n":"Ada"}],"g":[22],"w":true}],` +
		`"moments":[{"k":"typing","c":1,"u":21},{"k":"reading","u":21,"n":"tab","o":true},{"k":"left","c":1,"u":21},{"k":"probed","n":"probe"}],` +
		`"ask":true,"bye":true,"unsure":true,"deaf":true,"nats":true}`
	want := envelope{
		Notice{
			Node: "a", Number: 2, Channels: map[int64]int64{1: 7}, Users: []int64{11}, Readers: []int64{12},
			Presence: []Presence{{Channel: 1, Here: []User{{21, "Ada"}}, Gone: []int64{22}, Whole: true}},
			Moments: []Moment{
				typing(1, 21), {Kind: Reading, User: 21, Name: "tab", On: true}, {Kind: Left, User: 21, Channel: 1}, {Kind: Probed, Name: "probe"},
			},
			Ask: true, Bye: true,
		},
		control{Dropped: true, OffNATS: true, NATSOnly: true},
	}
	got, err := decode([]byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded: %v\ngot  %+v\nwant %+v", err, got, want)
	}
	if texts, _ := want.encode(maxPayload); len(texts) != 1 || string(texts[0]) != text {
		t.Errorf("encoded:\ngot  %s\nwant %s", texts, text)
	}
	for text, want := range map[string]control{
		`{"node":"a","unsure":true}`: {Dropped: true},
		`{"node":"a","deaf":true}`:   {OffNATS: true},
		`{"node":"a","nats":true}`:   {NATSOnly: true},
	} {
		if got, err := decode([]byte(text)); err != nil || got.control != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got.control, err, want)
		}
	}
}

// TestEncode: any notice, in however many texts, is decoded as it was. A Presence
// stays whole if it fits into one text.
func TestEncode(t *testing.T) {
	t.Parallel()
	for round := range 120 {
		random := rand.New(rand.NewPCG(1, uint64(round)))
		n := func() int { return random.IntN(1 + round) }
		some := func(count int) (ids []int64) {
			for range count {
				ids = append(ids, random.Int64())
			}
			return ids
		}
		sent := Notice{
			Node: "node", Number: random.Int64(), Channels: map[int64]int64{}, Users: some(n()), Readers: some(n()),
			Ask: random.IntN(2) == 0, Bye: random.IntN(2) == 0,
		}
		for range n() {
			sent.Channels[random.Int64()] = random.Int64()
			sent.Moments = append(sent.Moments, typing(random.Int64(), random.Int64()))
		}
		for range n() / 10 {
			p := Presence{Channel: random.Int64(), Whole: random.IntN(2) == 0, Gone: some(n() / 5)}
			for range n() {
				p.Here = append(p.Here, User{random.Int64(), strings.Repeat("<", 64)})
			}
			sent.Presence = append(sent.Presence, p)
		}
		limit := 600 + random.IntN(9000)
		var want batch
		want.add(envelope{sent, control{Dropped: true}})
		for _, p := range sent.Presence {
			text, err := json.Marshal(envelope{Notice: Notice{Node: sent.Node, Number: sent.Number, Presence: []Presence{p}}})
			if err != nil {
				t.Fatal(err)
			}
			want.presence[p.Channel].whole = p.Whole && len(text) <= limit
		}

		texts, dropped := envelope{sent, control{Dropped: true}}.encode(limit)
		if dropped != 0 {
			t.Fatalf("round %d: %d items dropped", round, dropped)
		}
		var got batch
		for i, text := range texts {
			if len(text) > limit {
				t.Fatalf("round %d: a text of %d bytes, over %d", round, len(text), limit)
			}
			e, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if e.Number != sent.Number {
				t.Fatalf("round %d: number %d, want %d", round, e.Number, sent.Number)
			}
			if e.Bye && i < len(texts)-1 {
				t.Fatalf("round %d: Bye is not in the last text", round)
			}
			got.add(e)
		}
		if got, want := sorted(got.envelope("node")), sorted(want.envelope("node")); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d:\ngot  %+v\nwant %+v", round, got, want)
		}
		if whole, err := json.Marshal(envelope{sent, control{Dropped: true}}); err != nil || len(whole) <= limit != (len(texts) == 1) {
			t.Fatalf("round %d: %d texts for %d bytes, %d each", round, len(texts), len(whole), limit)
		}
	}
}

// TestSplitPresence: when everybody who is in a channel is published again, in
// several texts, no text removes one of them, and a user who has left is removed
// at once.
func TestSplitPresence(t *testing.T) {
	t.Parallel()
	crowd := Presence{Channel: 1, Whole: true}
	for id := range int64(1000) {
		crowd.Here = append(crowd.Here, User{id, fmt.Sprint("Person ", id)})
	}
	few := Presence{Channel: 2, Here: []User{{7, "Ada"}, {8, "Bob"}}, Whole: true}
	present := map[int64]map[int64]bool{1: {}, 2: {}}
	receive := func(text []byte) {
		e, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range e.Presence {
			if p.Whole {
				clear(present[p.Channel])
			}
			for _, u := range p.Here {
				present[p.Channel][u.ID] = true
			}
			for _, id := range p.Gone {
				delete(present[p.Channel], id)
			}
		}
	}
	publish := func(step string, people int, all ...Presence) {
		t.Helper()
		var b batch
		for _, p := range all {
			b.add(envelope{Notice: Notice{Presence: []Presence{p}}})
		}
		texts, _ := b.envelope("node").encode(maxPayload)
		if len(texts) < 2 {
			t.Fatalf("%s: it was not split", step)
		}
		before := len(present[1])
		for _, text := range texts {
			receive(text)
			if n := len(present[1]); n < min(before, people) {
				t.Errorf("%s: %d are present meanwhile, of %d", step, n, people)
			}
		}
		if n := len(present[1]); n != people {
			t.Errorf("%s: %d are present, want %d", step, n, people)
		}
	}
	publish("at first", 1000, crowd, few)
	publish("again", 1000, crowd, few)
	few.Here = few.Here[:1]
	left := crowd
	left.Here = crowd.Here[1:]
	publish("one leaves each channel", 999, Presence{Channel: 1, Gone: []int64{0}}, left, few)
	if len(present[2]) != 1 {
		t.Errorf("%d are present in the small channel, want 1", len(present[2]))
	}
	publish("the user comes back, and is published with all", 1000, Presence{Channel: 1, Gone: []int64{0}}, crowd)
}

// TestSplitBetweenPresences: a Presence that fits into a text by itself is not
// split, although what is published with it does not fit into the same text.
func TestSplitBetweenPresences(t *testing.T) {
	t.Parallel()
	big := Presence{Channel: 1, Here: make([]User, 100), Whole: true}
	small := Presence{Channel: 2, Here: make([]User, 10), Whole: true}
	fits, err := json.Marshal(envelope{Notice: Notice{Node: "node", Presence: []Presence{big}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]envelope{
		"before":   {Notice: Notice{Presence: []Presence{big, small}}},
		"after":    {Notice: Notice{Presence: []Presence{small, big}}},
		"among":    {Notice: Notice{Presence: []Presence{small, big, small}, Users: []int64{1, 2, 3}}},
		"asking":   {Notice: Notice{Presence: []Presence{big}, Ask: true}},
		"stopping": {Notice: Notice{Presence: []Presence{big}, Bye: true}},
		"dropped":  {Notice: Notice{Presence: []Presence{big}}, control: control{Dropped: true}},
		"of users": {Notice: Notice{Presence: []Presence{big}, Users: make([]int64, 500)}},
	} {
		e.Node = "node"
		texts, dropped := e.encode(len(fits))
		whole := 0
		for _, text := range texts {
			e, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range e.Presence {
				if p.Whole && (len(p.Here) == 100 || len(p.Here) == 10) {
					whole++
				}
			}
		}
		if dropped > 0 || len(texts) < 2 || whole != len(e.Presence) {
			t.Errorf("%s: %d whole in %d texts, %d dropped", name, whole, len(texts), dropped)
		}
	}
}

// TestLongest: the longest item that can occur fits into a text. One that is
// longer is dropped, and all else is sent.
func TestLongest(t *testing.T) {
	t.Parallel()
	const most = 1<<63 - 1
	e := envelope{Notice: Notice{Node: strings.Repeat("A", 26), Number: most, Ask: true, Bye: true}, control: control{true, true, true}}
	e.Presence = []Presence{{Channel: most, Here: []User{{most, strings.Repeat("\x01", 64)}}, Whole: true}}
	if texts, dropped := e.encode(maxPayload); len(texts) != 1 || dropped != 0 {
		t.Errorf("the longest item: %d texts, %d dropped", len(texts), dropped)
	}
	e.Presence[0].Here = append(e.Presence[0].Here, User{1, strings.Repeat("A", maxPayload)}, User{2, "Bob"})
	texts, dropped := e.encode(maxPayload)
	if dropped != 1 {
		t.Errorf("%d items dropped, want 1", dropped)
	}
	var got batch
	for _, text := range texts {
		e, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		got.add(e)
	}
	if len(got.presence[most].users) != 2 || !got.bye || !got.NATSOnly {
		t.Errorf("all else was not sent: %+v", got.envelope("node"))
	}
}

// FuzzDecode: anyone with access to the servers can send anything.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"node":"A","channels":{"1":2},"presence":[{"c":1,"h":[{"i":1,"n":"Ada"}],"w":true}],"deaf":true}`))
	f.Add([]byte(`{"node":"A","channels":{"x":2}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decode(text)
		if err != nil {
			return
		}
		if e.Node == "" || len(e.Node) > maxNode {
			t.Fatalf("the node is %q", e.Node)
		}
		var b batch
		b.add(e)
		sent := b.envelope(e.Node)
		texts, _ := sent.encode(maxPayload)
		for _, text := range texts {
			if len(text) > maxPayload {
				t.Fatalf("a text of %d bytes", len(text))
			}
		}
	})
}
