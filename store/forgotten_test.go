package store

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// firewall passes connections on until it forgets them: what is sent on those
// then reaches nobody, and they are not closed.
type firewall struct {
	net.Listener
	end context.CancelFunc // ends all connections
	age atomic.Int64       // how often it has forgotten
}

// behindFirewall returns the address of a database by way of a firewall.
func behindFirewall(t *testing.T, database string) (*firewall, string) {
	t.Helper()
	u := must[*url.URL](t)(url.Parse(database))
	server := u.Host
	ctx, cancel := context.WithCancel(context.Background())
	f := &firewall{Listener: must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0")), end: cancel}
	u.Host = f.Addr().String()
	var work sync.WaitGroup
	t.Cleanup(func() {
		f.end()
		check(t, f.Close())
		work.Wait()
	})
	work.Go(func() {
		for {
			client, err := f.Accept()
			if err != nil {
				return
			}
			onward, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			age := f.age.Load()
			stop := context.AfterFunc(ctx, func() { _, _ = client.Close(), onward.Close() })
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(sink(func(b []byte) (int, error) {
					if age < f.age.Load() {
						return len(b), nil
					}
					return to.Write(b)
				}), from)
				_, _ = to.Close(), from.Close()
				stop()
			}
			work.Go(func() { pass(client, onward) })
			work.Go(func() { pass(onward, client) })
		}
	})
	return f, u.String()
}

// forget forgets all connections that there are.
func (f *firewall) forget() { f.age.Add(1) }

// sink is a function that takes what is written.
type sink func(b []byte) (int, error)

func (w sink) Write(b []byte) (int, error) { return w(b) }

// TestForgotten reads and writes soon, though all connections are dead without
// being closed.
func TestForgotten(t *testing.T) {
	t.Parallel()
	f, database := behindFirewall(t, newPostgres(t))
	s := openStore(t, database)
	defer f.end() // before the store waits for goodbyes
	anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
	var work sync.WaitGroup
	for range 8 { // for several connections
		work.Go(func() {
			if _, _, err := s.Newest(t.Context(), Everything(), c.ID, 9); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	f.forget()
	time.Sleep(maxIdle) // those that were used just now are not tried

	const soon = 2*maxPing + time.Second
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	began := time.Now()
	for range 3 {
		work.Go(func() {
			if _, err := s.User(ctx, anna.ID); err != nil {
				t.Errorf("a read ends after %v with %v", time.Since(began), err)
			}
		})
	}
	work.Go(func() {
		if _, err := s.Post(ctx, Everything(), c, anna, Draft{Body: "hello"}, noon); err != nil || time.Since(began) > soon {
			t.Errorf("a write ends after %v with %v", time.Since(began), err)
		}
	})
	work.Wait()
}
