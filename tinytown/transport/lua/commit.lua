#!lua
--@ include _clock _fence _lanes _deliver _commit
-- A change that somebody asks for; a server without memory refuses it.
