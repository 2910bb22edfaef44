-- | What `lambdad runtime test` asks of a function; see docs/runtimes.md.
module Function (load) where

import Control.Concurrent (threadDelay)
import qualified Data.ByteString.Char8 as B
import Http (Handler)
import Json (numberOf, textOf)
import System.Environment (lookupEnv)

load :: IO Handler
load = do
  wanted <- lookupEnv "CONFORMANCE_INIT_ERROR"
  case wanted of
    Just _ -> fail "asked to fail"
    Nothing -> return answer

answer :: Handler
answer deadline event = case B.unpack <$> textOf "conformance" event of
  Just "echo" -> return (Right event)
  Just "deadline" -> return (Right (B.concat [B.pack "{\"deadline_ms\": ", deadline, B.pack "}"]))
  Just "large" -> return (Right (B.concat [B.pack "\"", B.replicate (numberOf "bytes" event) 'x', B.pack "\""]))
  Just "sleep" -> threadDelay (1000 * numberOf "ms" event) >> return (Right event)
  _ -> return (Left "asked to fail, or unknown here")
