// Signing in and logging out.
import { $, local, session } from './page.js';

const LEAVING = 'hubbub:leaving';

export const startSignIn = () => {
	const form = $('signin');
	forget(form);
	if (!form) return;
	// A second click must not overtake the answer to the first: the name would be
	// taken, by nobody who could come back.
	let asked = false;
	form.addEventListener('submit', event => {
		if (asked) event.preventDefault();
		asked = true;
	});
	addEventListener('pageshow', () => { asked = false; });
};

// On a computer that people share, what one typed is not for the next: it goes
// once a log-out has led here. A session that has ended by itself leaves it for
// its user.
const forget = signedOut => {
	if (signedOut && session.get(LEAVING)) local.names('hubbub:').forEach(local.remove);
	session.remove(LEAVING);
	document.addEventListener('submit', event => {
		if (event.target.getAttribute('action')?.endsWith('/logout')) session.set(LEAVING, true);
	});
};
