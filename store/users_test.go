package store

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func TestUserNamesAreUnique(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna := newUser(t, s, "Anna")
		for about, typed := range map[string]string{
			"same": "Anna", "case": "aNNa", "width": "Ａｎｎａ", "look-alike": "Аnnа", "spaces": " Anna ",
		} {
			if _, err := s.CreateUser(t.Context(), userName(t, typed), "", "", noon); !errors.Is(err, ErrNameTaken) {
				t.Errorf("%s: creating %q: %v, want ErrNameTaken", about, typed, err)
			}
		}
		newUser(t, s, "Anne")

		for _, typed := range []string{"Anna", "ANNA", "ａｎｎａ"} {
			if got, err := s.UserByName(t.Context(), userName(t, typed)); err != nil || got != anna {
				t.Errorf("UserByName(%q) = %+v, %v; want %+v", typed, got, err, anna)
			}
		}
		// Nobody is found by a name that only looks like theirs.
		for _, typed := range []string{"Аnnа", "Ann"} {
			if got, err := s.UserByName(t.Context(), userName(t, typed)); !errors.Is(err, ErrNotFound) {
				t.Errorf("UserByName(%q) = %+v, %v; want ErrNotFound", typed, got, err)
			}
		}
	})
}

// TestNamesThatLookAlike makes users whose names look alike, across scripts and
// within one, and finds those of a version before.
func TestNamesThatLookAlike(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		for _, name := range []string{"Bern", "Bem", "王士", "王土", "Anna"} {
			newUser(t, s, name)
		}
		for typed, want := range map[string]error{
			"Веrn": ErrNameTaken, "Веm": ErrNameTaken, "Bеm": ErrNameTaken, "BEM": ErrNameTaken, "Аnnа": ErrNameTaken,
			"Anna, Bea": ErrNameForbidden, "安娜、贝亚": ErrNameForbidden, "Anna; Bea": ErrNameForbidden, "安娜，贝亚": ErrNameForbidden,
		} {
			if _, err := s.CreateUser(t.Context(), userName(t, typed), "", "", noon); !errors.Is(err, want) {
				t.Errorf("creating %q: %v, want %v", typed, err, want)
			}
		}

		// As the version before wrote them: looks were skeletons, and lists were
		// names. The last two have come to look alike since.
		for i, row := range [][3]string{
			{"Arne", "arne", "arne"}, {"Cern, X", "cern, x", "cern, x"}, {"O1", "o1", "old 1"}, {"0l", "0l", "old 2"},
		} {
			_, err := s.writer.db.Exec(`
				INSERT INTO users (name, name_key, name_look, password, epoch, last_channel, created_at, form)
				VALUES ($1, $2, $3, '', $4, 0, 0, '')`, row[0], row[1], row[2], i)
			check(t, err)
		}
		check(t, s.Close())
		s = openStore(t, database)
		newUser(t, s, "Ame")
		for typed, want := range map[string]error{"Аrne": ErrNameTaken, "OI": ErrNameTaken, "ОI": ErrNameTaken} {
			if _, err := s.CreateUser(t.Context(), userName(t, typed), "", "", noon); !errors.Is(err, want) {
				t.Errorf("creating %q: %v, want %v", typed, err, want)
			}
		}
		for _, typed := range []string{"Arne", "Cern, X", "O1", "0l"} {
			if u := must[User](t)(s.UserByName(t.Context(), userName(t, typed))); u.Name != typed {
				t.Errorf("%q is now %+v", typed, u)
			}
		}
	})
}

// TestOneOfManyGetsTheName has many ask for one name at the same moment.
func TestOneOfManyGetsTheName(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		var group sync.WaitGroup
		errs := make(chan error, 60)
		for i := range cap(errs) {
			name := userName(t, []string{"Anna", "ANNA", "Аnnа"}[i%3])
			group.Go(func() {
				_, err := s.CreateUser(t.Context(), name, "", "", noon)
				errs <- err
			})
		}
		group.Wait()
		close(errs)
		won := 0
		for err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, ErrNameTaken) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d got the name, want one", won)
		}
	})
}

// TestMadeBy knows the form that has just made a user, after a restart too.
func TestMadeBy(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna := must[User](t)(s.CreateUser(t.Context(), userName(t, "Anna"), "", "key", noon))
		bea := newUser(t, s, "Bea")
		check(t, s.Close())
		s = openStore(t, database)
		anna = must[User](t)(s.User(t.Context(), anna.ID))
		for _, tt := range []struct {
			user User
			key  string
			at   time.Duration
			want bool
		}{
			{anna, "key", 0, true},
			{anna, "key", 59 * time.Second, true},
			{anna, "key", time.Minute, false},
			{anna, "other", 0, false},
			{anna, "", 0, false},
			{bea, "", 0, false},
			{bea, "key", 0, false},
		} {
			if got := tt.user.MadeBy(tt.key, noon.Add(tt.at)); got != tt.want {
				t.Errorf("%s by %q after %v: %v", tt.user.Name, tt.key, tt.at, got)
			}
		}
	})
}

func TestUser(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		if anna.ID == bea.ID || anna.HasPassword() || anna.Epoch != 1 || !anna.CreatedAt.Equal(noon) || anna.LastChannel != 0 {
			t.Errorf("new: %+v, %+v", anna, bea)
		}

		changed := must[User](t)(s.SetPassword(t.Context(), anna, "hash", ""))
		if changed.Password != "hash" || !changed.HasPassword() || changed.Epoch != anna.Epoch+1 {
			t.Errorf("after SetPassword: %+v", changed)
		}
		if _, err := s.SetPassword(t.Context(), anna, "another", ""); !errors.Is(err, ErrPasswordChanged) {
			t.Errorf("by one who has read another password: %v", err)
		}
		removed := must[User](t)(s.SetPassword(t.Context(), changed, "", ""))
		if removed.HasPassword() || removed.Epoch != anna.Epoch+2 {
			t.Errorf("after removing it: %+v", removed)
		}
		general := newChannel(t, s, "general")
		check(t, s.Visit(t.Context(), own(anna.ID), general.ID, 0, noon))
		removed.LastChannel = general.ID
		if got := must[User](t)(s.User(t.Context(), anna.ID)); got != removed {
			t.Errorf("got %+v, want %+v", got, removed)
		}
		if got := must[User](t)(s.User(t.Context(), bea.ID)); got != bea {
			t.Errorf("another's changes reached %+v", got)
		}

		if _, err := s.User(t.Context(), 99); !errors.Is(err, ErrNotFound) {
			t.Errorf("a missing user: %v", err)
		}
		if _, err := s.SetPassword(t.Context(), User{ID: 99}, "hash", ""); !errors.Is(err, ErrPasswordChanged) {
			t.Errorf("the password of a missing user: %v", err)
		}
	})
}
