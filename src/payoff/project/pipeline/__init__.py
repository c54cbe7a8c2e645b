"""What the project's steps are, what each uses, and how they hang together. Read from syntax trees and SQL, never executed."""
