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

// moment is one of a user in a channel.
func moment(channel, user int64) Moment { return Moment{Kind: Typing, Channel: channel, User: user} }

// sorted gives the lists of a notice an order to compare them in.
func sorted(l letter) letter {
	slices.Sort(l.Users)
	slices.Sort(l.Readers)
	slices.SortFunc(l.Moments, func(a, b Moment) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	slices.SortFunc(l.Presence, func(a, b Presence) int { return int(a.Channel - b.Channel) })
	for _, p := range l.Presence {
		slices.SortFunc(p.Here, func(a, b User) int { return int(a.ID - b.ID) })
		slices.Sort(p.Gone)
	}
	return l
}

func TestMergedWhileWaiting(t *testing.T) {
	t.Parallel()
	ada, bob, zhang := User{1, "Ada"}, User{2, "Bob"}, User{3, "张伟"}
	var d draft
	if !d.empty() {
		t.Error("a new draft is not empty")
	}
	for i, n := range []Notice{
		{Channels: map[int64]int64{1: 5, 2: 1}, Users: []int64{7}, Moments: []Moment{moment(1, 7)}},
		{Channels: map[int64]int64{1: 4, 3: 0}, Users: []int64{7, 8}, Readers: []int64{9}, Moments: []Moment{moment(1, 7)}},
		{Presence: []Presence{{Channel: 1, Here: []User{ada, bob}}, {Channel: 2, Here: []User{ada}}}},
		{Presence: []Presence{{Channel: 1, Gone: []int64{1, 3}}, {Channel: 2, Whole: true, Here: []User{bob, zhang}}}},
		{Presence: []Presence{{Channel: 1, Here: []User{zhang}}, {Channel: 2, Gone: []int64{2}}}, Ask: true},
	} {
		n.Number = int64(i + 1)
		d.add(letter{Notice: n})
	}
	want := Notice{
		Node: "node", Number: 5,
		Channels: map[int64]int64{1: 5, 2: 1, 3: 0}, Users: []int64{7, 8}, Readers: []int64{9},
		Presence: []Presence{
			{Channel: 1, Here: []User{bob, zhang}, Gone: []int64{1}},
			{Channel: 2, Here: []User{zhang}, Gone: []int64{1, 2}, Whole: true},
		},
		Moments: []Moment{moment(1, 7), moment(1, 7)}, Ask: true,
	}
	if got := sorted(d.letter("node")); !reflect.DeepEqual(got, letter{Notice: want}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	d.age()
	if d.empty() || d.letter("node").Presence != nil || d.letter("node").Moments != nil {
		t.Errorf("aged: %+v", d.letter("node"))
	}
}

// TestTooManyUsers: what is not kept is not forgotten either.
func TestTooManyUsers(t *testing.T) {
	t.Parallel()
	var d draft
	for id := range int64(maxUsers) {
		d.add(letter{Notice: Notice{Users: []int64{id}, Readers: []int64{id}}})
	}
	if d.Unsure {
		t.Fatal("unsure too early")
	}
	d.add(letter{Notice: Notice{Users: []int64{maxUsers}}})
	l := d.letter("node")
	if !l.Unsure || len(l.Users) != 0 || len(l.Readers) != maxUsers {
		t.Errorf("unsure is %v with %d users, %d readers", l.Unsure, len(l.Users), len(l.Readers))
	}
}

// TestWrite: whatever is told in however many texts is read as it was told. What
// is whole stays whole where it fits into one.
func TestWrite(t *testing.T) {
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
		told := Notice{
			Node: "node", Number: random.Int64(), Channels: map[int64]int64{}, Users: some(n()), Readers: some(n()),
			Ask: random.IntN(2) == 0, Bye: random.IntN(2) == 0,
		}
		for range n() {
			told.Channels[random.Int64()] = random.Int64()
			told.Moments = append(told.Moments, moment(random.Int64(), random.Int64()))
		}
		for range n() / 10 {
			p := Presence{Channel: random.Int64(), Whole: random.IntN(2) == 0, Gone: some(n() / 5)}
			for range n() {
				p.Here = append(p.Here, User{random.Int64(), strings.Repeat("<", 64)})
			}
			told.Presence = append(told.Presence, p)
		}
		limit := 600 + random.IntN(9000)
		var want draft
		want.add(letter{told, signs{Unsure: true}})
		for _, p := range told.Presence {
			alone, err := json.Marshal(letter{Notice: Notice{Node: told.Node, Number: told.Number, Presence: []Presence{p}}})
			if err != nil {
				t.Fatal(err)
			}
			want.presence[p.Channel].whole = p.Whole && len(alone) <= limit
		}

		texts, left := letter{told, signs{Unsure: true}}.write(limit)
		if left != 0 {
			t.Fatalf("round %d: %d items left out", round, left)
		}
		var got draft
		for i, text := range texts {
			if len(text) > limit {
				t.Fatalf("round %d: a text of %d bytes, over %d", round, len(text), limit)
			}
			l, err := read(text)
			if err != nil {
				t.Fatal(err)
			}
			if l.Number != told.Number {
				t.Fatalf("round %d: number %d, want %d", round, l.Number, told.Number)
			}
			if l.Bye && i < len(texts)-1 {
				t.Fatalf("round %d: said goodbye too early", round)
			}
			got.add(l)
		}
		if got, want := sorted(got.letter("node")), sorted(want.letter("node")); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d:\ngot  %+v\nwant %+v", round, got, want)
		}
		if whole, err := json.Marshal(letter{told, signs{Unsure: true}}); err != nil || len(whole) <= limit != (len(texts) == 1) {
			t.Fatalf("round %d: %d texts for %d bytes, %d each", round, len(texts), len(whole), limit)
		}
	}
}

// TestCut: who is there, and is told of again in more texts than one, is never
// taken for gone in between, and who has left is, at once.
func TestCut(t *testing.T) {
	t.Parallel()
	crowd := Presence{Channel: 1, Whole: true}
	for id := range int64(1000) {
		crowd.Here = append(crowd.Here, User{id, fmt.Sprint("Person ", id)})
	}
	few := Presence{Channel: 2, Here: []User{{7, "Ada"}, {8, "Bob"}}, Whole: true}
	there := map[int64]map[int64]bool{1: {}, 2: {}}
	hear := func(text []byte) {
		l, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range l.Presence {
			if p.Whole {
				clear(there[p.Channel])
			}
			for _, u := range p.Here {
				there[p.Channel][u.ID] = true
			}
			for _, id := range p.Gone {
				delete(there[p.Channel], id)
			}
		}
	}
	tell := func(about string, people int, all ...Presence) {
		t.Helper()
		var d draft
		for _, p := range all {
			d.add(letter{Notice: Notice{Presence: []Presence{p}}})
		}
		texts, _ := d.letter("node").write(maxPayload)
		if len(texts) < 2 {
			t.Fatalf("%s: it was not cut", about)
		}
		before := len(there[1])
		for _, text := range texts {
			hear(text)
			if n := len(there[1]); n < min(before, people) {
				t.Errorf("%s: %d are there meanwhile, of %d", about, n, people)
			}
		}
		if n := len(there[1]); n != people {
			t.Errorf("%s: %d are there, want %d", about, n, people)
		}
	}
	tell("at first", 1000, crowd, few)
	tell("again", 1000, crowd, few)
	few.Here = few.Here[:1]
	left := crowd
	left.Here = crowd.Here[1:]
	tell("one leaves each", 999, Presence{Channel: 1, Gone: []int64{0}}, left, few)
	if len(there[2]) != 1 {
		t.Errorf("%d are where few are, want 1", len(there[2]))
	}
	tell("he comes back, and is told of with all", 1000, Presence{Channel: 1, Gone: []int64{0}}, crowd)
}

// TestNotCut: what fits into a text by itself is not cut for what does not fit
// beside it.
func TestNotCut(t *testing.T) {
	t.Parallel()
	big := Presence{Channel: 1, Here: make([]User, 100), Whole: true}
	small := Presence{Channel: 2, Here: make([]User, 10), Whole: true}
	alone, err := json.Marshal(letter{Notice: Notice{Node: "node", Presence: []Presence{big}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]letter{
		"before":   {Notice: Notice{Presence: []Presence{big, small}}},
		"after":    {Notice: Notice{Presence: []Presence{small, big}}},
		"among":    {Notice: Notice{Presence: []Presence{small, big, small}, Users: []int64{1, 2, 3}}},
		"asking":   {Notice: Notice{Presence: []Presence{big}, Ask: true}},
		"leaving":  {Notice: Notice{Presence: []Presence{big}, Bye: true}},
		"unsure":   {Notice: Notice{Presence: []Presence{big}}, signs: signs{Unsure: true}},
		"of users": {Notice: Notice{Presence: []Presence{big}, Users: make([]int64, 500)}},
	} {
		l.Node = "node"
		texts, left := l.write(len(alone))
		whole := 0
		for _, text := range texts {
			l, err := read(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range l.Presence {
				if p.Whole && (len(p.Here) == 100 || len(p.Here) == 10) {
					whole++
				}
			}
		}
		if left > 0 || len(texts) < 2 || whole != len(l.Presence) {
			t.Errorf("%s: %d whole in %d texts, %d left out", name, whole, len(texts), left)
		}
	}
}

// TestLongest: the longest item there can be fits, and one that cannot be does
// no harm.
func TestLongest(t *testing.T) {
	t.Parallel()
	const most = 1<<63 - 1
	l := letter{Notice: Notice{Node: strings.Repeat("A", 26), Number: most, Ask: true, Bye: true}, signs: signs{true, true, true}}
	l.Presence = []Presence{{Channel: most, Here: []User{{most, strings.Repeat("\x01", 64)}}, Whole: true}}
	if texts, left := l.write(maxPayload); len(texts) != 1 || left != 0 {
		t.Errorf("the longest item: %d texts, %d left out", len(texts), left)
	}
	l.Presence[0].Here = append(l.Presence[0].Here, User{1, strings.Repeat("A", maxPayload)}, User{2, "Bob"})
	texts, left := l.write(maxPayload)
	if left != 1 {
		t.Errorf("%d items left out, want 1", left)
	}
	var got draft
	for _, text := range texts {
		l, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		got.add(l)
	}
	if len(got.presence[most].users) != 2 || !got.bye || !got.NATS {
		t.Errorf("the rest did not come: %+v", got.letter("node"))
	}
}

// FuzzRead: anyone with access to the servers can send anything.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"node":"A","channels":{"1":2},"presence":[{"c":1,"h":[{"i":1,"n":"Ada"}],"w":true}],"deaf":true}`))
	f.Add([]byte(`{"node":"A","channels":{"x":2}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := read(text)
		if err != nil {
			return
		}
		if l.Node == "" || len(l.Node) > maxNode {
			t.Fatalf("a node named %q", l.Node)
		}
		var d draft
		d.add(l)
		told := d.letter(l.Node)
		texts, _ := told.write(maxPayload)
		for _, text := range texts {
			if len(text) > maxPayload {
				t.Fatalf("a text of %d bytes", len(text))
			}
		}
	})
}
